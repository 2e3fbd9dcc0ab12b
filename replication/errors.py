"""The one exception that users are meant to read."""


class ReplicationError(Exception):
    """Something that the user can mend; the message names the file, the value and the cure.

    The command line prints it as one line and exits with status 2, without a traceback. Anything
    else that escapes is a fault of ours and keeps its traceback.
    """
