"""``python -m replication`` is the command ``replication``."""

from replication.cli import main

main()
