"""What cutline says when a job cannot go on."""


class CutlineError(Exception):
    """A job cannot go on; the message is one sentence with the mend.

    The command line prints it and exits with status 1.
    """


class UsageError(CutlineError):
    """What the user asked for cannot be right; the command line exits with status 2."""
