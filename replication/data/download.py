"""One http address to one part file: streamed, continued after a break, refused where it is wrong.

RFC 9110 in short: ``Range`` asks for what is missing, ``If-Range`` makes the server send everything
if its file has changed since; 206 continues, 200 starts again, 416 has nothing to add.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replication import __version__, atomic
from replication.data.part import AddressFailed, Bar, Target, write

if TYPE_CHECKING:
    import requests

_CHUNK = 1 << 16
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a download is: times in seconds.

    ``patience`` counts tries in a row that brought nothing new; a try that brought bytes starts the
    count again, so that a long file survives any number of breaks.
    """

    connect: float = 20.0
    read: float = 60.0
    patience: int = 4
    backoff: float = 1.0
    longest_wait: float = 30.0
    redirects: int = 10

    def wait(self, idle: int, asked: float = 0.0) -> float:
        """Return the pause before the next try, doubling with each try that brought nothing."""
        return min(max(self.backoff * 2.0 ** max(idle - 1, 0), asked), self.longest_wait)


class _Interrupted(Exception):
    """The connection broke, or the server is busy: worth another try after ``wait`` seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def _resume_headers(address: str, target: Target) -> dict[str, str]:
    """Return the headers that ask for what is missing; discard a part that can't be continued."""
    if not target.held:
        return {}
    try:
        notes = json.loads(target.notes.read_text(encoding="utf-8"))
        validator = str(notes["validator"]) if notes["address"] == address else ""
    except (OSError, ValueError, KeyError, TypeError):
        validator = ""
    if not validator and not target.checked:
        target.discard()  # nothing could tell a mixture of two files from the file
        return {}
    asked = {"Range": f"bytes={target.held}-"}
    return asked | ({"If-Range": validator} if validator else {})


def _note(address: str, target: Target, response: "requests.Response") -> None:
    """Remember the version of the file that the part is of: a strong ETag, else its date."""
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else ""  # RFC 9110: If-Range takes no weak validator
    validator = strong or response.headers.get("Last-Modified", "")
    atomic.write_json(target.notes, {"address": address, "validator": validator})


def _retry_after(response: "requests.Response") -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0


def _start_and_total(response: "requests.Response", target: Target) -> tuple[int, int | None]:
    """Return where the answer's bytes begin in the file, and the file's size where it is known.

    The start equals the size when nothing is missing. Raises AddressFailed or _Interrupted.
    """
    status = response.status_code
    if status in (401, 403):
        raise AddressFailed(f"refuses access (HTTP {status}): it may want a login", login=True)
    if status in _TRANSIENT:
        raise _Interrupted(f"answers HTTP {status}", _retry_after(response))
    found = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "")
    )
    of = int(found[2]) if found and found[2] != "*" else None
    if of is not None and status in (206, 416) and target.size not in (None, of):
        raise AddressFailed(f"its file has {of:,} bytes instead of {target.size:,}")
    if status == 416:
        if of is not None and of == target.held:
            return of, of
        target.discard()
        raise _Interrupted("can't continue what is there already")
    if status == 206:
        if found is None or found[1] is None or int(found[1]) != target.held:
            target.discard()
            raise _Interrupted("continues at another place than asked")
        return target.held, of if target.size is None else target.size
    if status != 200:
        raise AddressFailed(f"answers HTTP {status} {response.reason}".rstrip())
    length = response.headers.get("Content-Length", "")
    offered = int(length) if length.isdecimal() else None
    if target.size is None:
        return 0, offered
    if offered is not None and offered > target.size:
        raise AddressFailed(f"offers {offered:,} bytes instead of {target.size:,}")
    return 0, target.size


def _once(
    session: "requests.Session", address: str, target: Target, policy: Policy, bar: Bar
) -> None:
    """Ask once for what is missing and write what comes; return when the file is complete."""
    import requests
    from urllib3.exceptions import HTTPError

    headers = _resume_headers(address, target)
    try:
        with session.get(
            address, headers=headers, stream=True, timeout=(policy.connect, policy.read)
        ) as response:
            start, total = _start_and_total(response, target)
            if start > 0 and start == total:
                return
            if start == 0:
                target.discard()
            _note(address, target, response)
            # undecoded: some servers label a .tgz as `Content-Encoding: gzip`
            write(target, response.raw.stream(_CHUNK, decode_content=False), start, total, bar)
    except requests.TooManyRedirects:
        raise AddressFailed(f"redirects more than {policy.redirects} times") from None
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.SSLError,
    ) as error:
        raise AddressFailed(f"can't be used: {error}") from None
    except (requests.RequestException, HTTPError) as error:
        raise _Interrupted(_cause(error)) from None
    if total is not None and target.held < total:
        raise _Interrupted(f"closed the connection at {target.held:,} of {total:,} bytes")


def _cause(error: BaseException) -> str:
    """Say in a few words what broke a connection: libraries wrap the reason several times over."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    text = str(error).split("\n", maxsplit=1)[0]
    return f"connection failed ({text or type(error).__name__})"


def download(address: str, target: Target, policy: Policy, bar: Bar) -> None:
    """Bring the whole file at ``address`` (http or https) into the part file of ``target``.

    Continues a part that is there, with HTTP Range, and again after each break.

    Raises:
        AddressFailed: another address must be tried; a part that may be of use is kept.
        ReplicationError: the disk is full or can't be written.
    """
    import requests

    if target.size is not None and target.held > target.size:
        target.discard()
    best, idle = target.held, 0
    with requests.Session() as session:
        session.max_redirects = policy.redirects
        session.headers["Accept-Encoding"] = "identity"
        session.headers["User-Agent"] = f"deeplab-v2-replication/{__version__}"
        while target.size is None or target.held != target.size:
            try:
                return _once(session, address, target, policy, bar)
            except _Interrupted as error:
                idle = 0 if target.held > best else idle + 1
                best = max(best, target.held)
                if idle >= policy.patience:
                    raise AddressFailed(f"{error}, {idle} times in a row") from None
                time.sleep(policy.wait(idle, error.wait))
    return None
