"""What cutline says when a job cannot go on."""


class CutlineError(Exception):
    """A job cannot go on; the message is one sentence with the mend.

    The command line prints it and exits with status 1.
    """


class UsageError(CutlineError):
    """What the user asked for cannot be right; the command line exits with status 2."""


def said(error: Exception) -> str:
    """Write why something could not be done, in one line."""
    strerror: str | None = getattr(error, "strerror", None)
    return strerror or " ".join(str(error).split()) or type(error).__name__
