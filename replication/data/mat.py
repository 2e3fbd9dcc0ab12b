"""MATLAB 5 files, read with one line for whatever is wrong with them."""

from pathlib import Path
from typing import Any

from replication.errors import ReplicationError


def read_mat(path: Path, variable: str, *, what: str) -> Any:
    """Return one variable of a .mat file as scipy's `loadmat` gives it.

    Structs come as object arrays (1, 1) with named fields, struct arrays as (1, N).

    Args:
        path: the file.
        variable: its name.
        what: what the file is, for errors ("PASCAL-Context label").

    Raises:
        ReplicationError: the file is missing, broken or cut short, or has no such variable.
    """
    from scipy.io import loadmat  # 0.2 s that only conversions need

    again = "unpack its archive again"
    if not path.is_file():
        raise ReplicationError(f"{path}: there is no such {what}; {again}")
    try:
        return loadmat(path, appendmat=False, variable_names=[variable])[variable]
    except KeyError:
        raise ReplicationError(
            f"{path}: the {what} has no variable `{variable}`; {again}"
        ) from None
    except Exception as error:  # scipy's reader fails on broken bytes in a dozen ways
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ReplicationError(f"{path}: the {what} is broken ({reason}); {again}") from None
