"""What cutline says when a job cannot go on."""


class CutlineError(Exception):
    """A job cannot go on; the message is one sentence with the mend.

    The command line prints it and exits with status 1.
    """


class UsageError(CutlineError):
    """What the user asked for cannot be right; the command line exits with status 2."""


def check_text(path: str) -> None:
    """Refuse a path that cannot be written down: in JSON, in a plan, in the trainer's file.

    Raises
    ------
    UsageError
        It is not UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The path {path!a} is not UTF-8: give it another name.") from error
