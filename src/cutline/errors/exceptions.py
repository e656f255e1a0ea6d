"""The errors that end a job with a message instead of a traceback."""


class CutlineError(Exception):
    """The job cannot go on; the message is one sentence that says what to do.

    The command line prints it and exits with status 1.
    """


class UsageError(CutlineError):
    """What the user asked for cannot be done; the command line exits with status 2."""


def said(error: Exception) -> str:
    """Return in one line why something could not be done."""
    strerror: str | None = getattr(error, "strerror", None)
    return strerror or " ".join(str(error).split()) or type(error).__name__
