"""A checkpoint of somebody else's: what it holds is read, and never run."""

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from replication.errors import ReplicationError
from replication.models.weight_files import read_pth
from replication.training.resume import usable_checkpoint


class Code:
    """Pickled, this is a command that unpickling runs."""

    def __init__(self, owned: Path) -> None:
        self.owned = owned

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.owned}'",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, zipped: bool) -> None:
    owned, last = tmp_path / "owned", tmp_path / "last.ckpt"
    state = {"global_step": 3, "callbacks": {"Checkpoints": {"fingerprint": "f"}}}
    torch.save(state, last, _use_new_zipfile_serialization=zipped)
    lines: list[str] = []
    assert usable_checkpoint(last, "f", lines.append) == (3 if zipped else None)
    torch.save(state | {"more": Code(owned)}, last, _use_new_zipfile_serialization=zipped)
    assert usable_checkpoint(last, "f", lines.append) is None
    assert "training starts anew" in lines[-1]
    with pytest.raises(ReplicationError, match="can't be read"):
        read_pth(last)
    assert not owned.exists()


def test_a_changed_byte_starts_training_anew(tmp_path: Path) -> None:
    last = tmp_path / "last.ckpt"
    torch.save({"global_step": 3, "weights": torch.zeros(999)}, last)
    with zipfile.ZipFile(last) as archive:
        place = max(entry.header_offset for entry in archive.infolist() if entry.file_size > 999)
    raw = bytearray(last.read_bytes())
    raw[place + 500] ^= 1
    last.write_bytes(raw)
    assert usable_checkpoint(last, "f", lambda _: None) is None
