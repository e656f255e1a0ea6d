"""What bears the name of a shard and is none that can be read: what it is, and what reads it."""

import os
import re
import stat
from typing import Final, NamedTuple

from cutline.errors import UsageError

ENDING: Final = ".tar"

_CASELESS: Final = re.IGNORECASE


class Rule(NamedTuple):
    """Names of one kind: what such a file is, and what to do about it."""

    names: re.Pattern[str]
    what: str
    mend: str


OTHER_ARCHIVE: Final = Rule(
    re.compile(r"\.(zip|7z|rar)$", _CASELESS),
    "is an archive of another kind, and only .tar is read",
    "unpack it beside the images and move it away",
)
"""Beside shards it stands for one; elsewhere it may be anything."""

RULES: Final = (
    Rule(
        re.compile(r"\.(tar\.(gz|bz2|xz|zst|lz4|lz|lzma|lzo|br|z)|t(gz|bz2|xz|zst))$", _CASELESS),
        "is compressed, and only .tar is read",
        "unpack it and move it away",
    ),
    Rule(
        re.compile(
            r"\.tar\.(part(ial)?|crdownload|incomplete|aria2|(op)?download|filepart|te?mp|!qb|!ut)$",
            _CASELESS,
        ),
        "is an unfinished download",
        "finish the download, or move it away",
    ),
    Rule(
        re.compile(r"\.tar\.(part)?([0-9]{1,5}|a[a-z]{1,2})$", _CASELESS),
        "is a piece of a shard",
        "join the pieces with cat, and move them away",
    ),
)

RENAME: Final = "give it another name"

_KINDS: Final = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))


def is_shard(name: str) -> bool:
    """Return whether a name is that of a shard, in letters of either case."""
    return name[-len(ENDING) :].lower() == ENDING


def is_shard_name(name: str) -> bool:
    """Return whether a name is that of a shard, also of one that cannot be read."""
    return is_shard(name) or any(rule.names.search(name) for rule in RULES)


def check(path: str) -> None:
    """Raise UsageError if a path or URL is no shard that can be read."""
    for rule in (*RULES, OTHER_ARCHIVE):
        if rule.names.search(path):
            raise UsageError(f"The shard {path} {rule.what}: {rule.mend}.")
    if not is_shard(path):
        raise UsageError(f"The file {path} is no .tar shard: name *.tar files, or a folder.")
    if "://" not in path:
        _check_file(path)


def _check_file(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        if not os.path.islink(path):
            raise
        raise no_file(path, "a link to nowhere", "fetch what it leads to") from error
    except OSError as error:
        raise UsageError(
            f"The shard {path} cannot be looked at ({error.strerror}): make it readable, or move it"
            " away."
        ) from error
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "device")
        raise no_file(path, f"a {kind}", RENAME)
    if not os.access(path, os.R_OK):
        raise UsageError(f"The shard {path} may not be read: get permission, or move it away.")


def no_file(path: str, what: str, mend: str) -> UsageError:
    """Return the error of what has a shard's name and is no file."""
    return UsageError(f"{path} has the name of a shard and is {what}: {mend}, or move it away.")
