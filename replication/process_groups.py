"""Commands that end when this process is told to, with everything that they have started."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


class ProcessGroups:
    """Commands that run now, each the head of a process group of its own.

    A terminal's Ctrl-C reaches every process in it, but a signal that is sent to one process
    reaches that one alone: what it has started would run on for days, and hold its locks. Here a
    group gets the signal that this process got, from a terminal or not.
    """

    def __init__(self) -> None:
        self._heads: set[subprocess.Popen[str]] = set()
        self._stopped: signal.Signals | None = None

    @contextmanager
    def running(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], *, piped: bool
    ) -> Iterator[subprocess.Popen[str]]:
        """Start ``command``, and wait for its end when the block is left.

        ``piped``: its output and errors are lines of text in the process's ``stdout``. May be
        called from several threads; after a signal, what begins is ended at once.
        """
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE if piped else None,
            stderr=subprocess.STDOUT if piped else None,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as head:
            self._heads.add(head)
            if self._stopped is not None:
                self._send(self._stopped)
            try:
                yield head
            finally:
                head.wait()  # after an interrupt too, when Popen itself would hardly wait
                self._heads.discard(head)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Hand on what ends the block: an interrupt as SIGINT, `SystemExit` as SIGTERM.

        `running` then waits until the groups' heads have put their things in order.
        """
        try:
            yield
        except (KeyboardInterrupt, SystemExit) as stop:
            interrupted = isinstance(stop, KeyboardInterrupt)
            self._stopped = signal.SIGINT if interrupted else signal.SIGTERM
            self._send(self._stopped)
            raise

    def _send(self, number: signal.Signals) -> None:
        for head in tuple(self._heads):
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(head.pid, number)
