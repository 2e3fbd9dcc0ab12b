"""The one exception that users are meant to read."""


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
