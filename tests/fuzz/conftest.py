"""How long the fuzz tests run, and what they draw.

Each of the five has 4 seconds, or ``FUZZ_SECONDS``: 12 in CI, a minute in all; by hand,
``FUZZ_SECONDS=600 pytest tests/fuzz``. What they draw follows from ``FUZZ_SEED``, 0 if it is not
set: no test fails by chance alone, and one that fails says how to see it fail again.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import pytest

from replication.errors import ReplicationError

SECONDS = float(os.environ.get("FUZZ_SECONDS", "4"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
HERE = Path(__file__).parent
ROUND = pytest.StashKey[int]()
LEAST = 4  # rounds
LONGEST = 10.0  # seconds that one input may take: more is a hang
# Numbers at the edges of what headers hold.
_EDGES = (
    *(b"\x00", b"\xff", b"\x7f", b"\x80", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"),
    *(b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"77777777777", b"-1", b"99999999999999999999"),
    *(b"../", b"/etc/", b"\\", b"\n", b"'", b"{}", b"[", b"(" * 200, b"&a [*a, *a]", b"!!"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each of these tests the time that it is asked to take."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(SECONDS + 600))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say at a test that failed what it drew."""
    report = yield
    if report.failed and call.when == "call":
        said = f"FUZZ_SEED={SEED} FUZZ_SECONDS={SECONDS:g} pytest '{item.nodeid}'"
        if (number := item.stash.get(ROUND, None)) is not None:
            said += f"\nround {number}: its generator is np.random.default_rng([{SEED}, {number}])"
        report.sections.append(("the same again", said))
    return report


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Callable[[], Iterator[np.random.Generator]]:
    """A function that yields a generator of random numbers for each round while there is time.

    However slow the machine, there are four. Round n of a seed is the same every time:
    `np.random.default_rng([seed, n])` makes it again.
    """

    def while_time() -> Iterator[np.random.Generator]:
        end = time.monotonic() + SECONDS
        number = 0
        while number < LEAST or time.monotonic() < end:
            request.node.stash[ROUND] = number
            yield np.random.default_rng([SEED, number])
            number += 1

    return while_time


@pytest.fixture(scope="session")
def value_or_one_line() -> Callable[..., object]:
    """A function that calls another and lets no exception but `ReplicationError` through.

    Returns what the other returns, or the error.
    """

    def check(function: Callable[..., object], *arguments: object, **options: object) -> object:
        started = time.monotonic()
        try:
            found = function(*arguments, **options)
        except ReplicationError as error:
            found = error
        assert time.monotonic() - started < LONGEST, "took too long"
        assert not isinstance(found, ReplicationError) or str(found)
        return found

    return check


@pytest.fixture(scope="session")
def mutate() -> Callable[[bytes, np.random.Generator], bytes]:
    """A function that changes valid bytes as disks, networks and malicious people change them."""
    return changed


def changed(valid: bytes, rng: np.random.Generator) -> bytes:
    """Return ``valid`` after one to eight changes; half of them among its first 600 bytes."""
    raw = bytearray(valid)
    for _ in range(int(rng.integers(1, 9))):
        if not raw:
            return bytes(raw)
        reach = min(len(raw), 600) if rng.random() < 0.5 else len(raw)
        place = int(rng.integers(reach))
        if rng.random() < 0.25:  # a zip's directory stands at its end
            place = len(raw) - 1 - int(rng.integers(min(len(raw), 300)))
        length = int(rng.integers(1, 65))
        match int(rng.integers(7)):
            case 0:
                raw[place] ^= 1 << int(rng.integers(8))
            case 1:
                raw[place] = int(rng.integers(256))
            case 2:
                edge = _EDGES[int(rng.integers(len(_EDGES)))]
                raw[place : place + len(edge)] = edge
            case 3:
                raw[place:place] = _EDGES[int(rng.integers(len(_EDGES)))]
            case 4:
                del raw[place : place + length]
            case 5:
                other = int(rng.integers(len(raw)))
                raw[place:place] = raw[other : other + length]
            case _:
                del raw[place:]
    return bytes(raw)
