"""Runs commands of `replication` as processes of their own, without their seconds of importing.

A program that imports what every stage needs, then forks a process for each command it is given: a
line of JSON with the arguments, the folder to work in, and a file for what is printed. It answers
with the process's id and, after an empty line, with how it ended.
"""

import json
import os
import signal
import sys
import traceback

import matplotlib.pyplot  # noqa: F401
import torch

import replication.crf.run
import replication.crf.search
import replication.evaluation.run
import replication.inference.score
import replication.report.build
import replication.training.run  # noqa: F401
from replication import cli
from replication.reporting import figures

# Three of seventeen: all are drawn in one way, and would take half of these tests' time.
FIGURES = ("figure2", "before_after", "figure10b")


def command(arguments: list[str], folder: str, log: str) -> int:
    """Run one command in this process; return its exit status as Python would set it."""
    os.chdir(folder)
    with open(log, "ab", buffering=0) as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["replication", *arguments]
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Serve until the pipe is closed."""
    torch.set_num_threads(1)
    figures._MODULES = {name: figures._MODULES[name] for name in FIGURES}
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            status = 1
            try:
                status = command(asked["arguments"], asked["folder"], asked["log"])
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        print(child, flush=True)
        sys.stdin.readline()  # until then a child that has ended keeps its id
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
