"""What users are meant to read: one exception, and what the machine itself may lack, in words."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The numbers of an OSError that say that a disk, or one's share of it, is full."""

_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
# RuntimeErrors of torch's, for the processor's memory and for a device's
_NO_MEMORY = ("can't allocate memory", "out of memory")


class ReplicationError(Exception):
    """Something that the user can mend; the message names the file, the value and the cure.

    The command line prints it as one line and exits with status 2, without a traceback. Anything
    else that escapes is a fault of ours and keeps its traceback.
    """


def one_line(error: object) -> str:
    """Return a message as one line of printable characters; others as Python writes them.

    A file's name may hold line breaks, and codes that a terminal would obey.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(error)
    )


def lack(error: BaseException) -> str | None:
    """Say in one line what the machine lacks, with the cure; None where that is not the error."""
    if isinstance(error, OSError) and error.errno in FULL:
        return (
            f"{error.filename or 'a file could not be written'}: the disk is full; make room and "
            "run the same command again: what is finished is kept"
        )
    if isinstance(error, OSError) and error.errno in _CLOSED:
        return (
            f"{error.filename or 'a file could not be written'}: {error.strerror}; mend its "
            "permissions, or work in a folder that can be written"
        )
    wrapped = isinstance(error, RuntimeError) and any(w in str(error) for w in _NO_MEMORY)
    if isinstance(error, MemoryError) or wrapped:
        reason = " ".join(str(error).split())[:120] or "the system gives no more"
        return (
            f"memory has run out ({reason}); lower `micro_batch` or `score_batch` in the profile, "
            "or `jobs` in params.yaml, or close other programs"
        )
    return None
