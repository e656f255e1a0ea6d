"""A SOURCE argument, opened as a folder of sidecars or as a set of shards."""

import os
from functools import partial
from typing import TypeAlias

from cutline.errors import UsageError
from cutline.sources.local_folder import Folder
from cutline.sources.remote_file import open_filesystem
from cutline.sources.remote_folder import RemoteFolder
from cutline.sources.server_refusals import GONE, RemoteError, asked
from cutline.sources.shard_names import (
    ShardSet,
    Where,
    holds_shards,
    is_pattern,
    open_shards,
)
from cutline.sources.shard_rules import is_shard_name

Origin: TypeAlias = Folder | RemoteFolder | ShardSet


def open_source(source: Where | Origin) -> Origin:
    """Open a SOURCE argument.

    Parameters
    ----------
    source
        A local folder or an fsspec URL of one, that holds sidecars or, directly in it, tar shards;
        one shard; a glob of shards; a list of shards; or what this function has returned. A
        folder that holds both sidecars and shards is a folder of sidecars.

    Raises
    ------
    UsageError
        There is no such source, or a shard is compressed.
    """
    if isinstance(source, Origin):
        return source
    if not isinstance(source, str | os.PathLike):
        return open_shards(source)
    path = os.fspath(source)
    if "://" in path:
        return _open_remote(path)
    if os.path.isdir(path):
        return open_shards(path) if holds_shards(path) else Folder(os.path.abspath(path))
    if is_shard_name(path) or is_pattern(path):
        return open_shards(path)
    if os.path.exists(path):
        raise UsageError(f"The source {path} is a file: name the folder that holds the sidecars.")
    raise UsageError(f"The source {path} is not there: name the folder that holds the sidecars.")


def _open_remote(url: str) -> Origin:
    if is_shard_name(url) or is_pattern(url):
        return open_shards(url)
    try:
        fs, root = open_filesystem(url)
        shards = holds_shards(url)
        there = shards or asked(url, partial(fs.isdir, root))
    except RemoteError as error:
        if error.status != GONE:
            raise
        there = False
    except OSError as error:
        raise UsageError(
            f"The source {url} cannot be opened ({error}): correct the URL."
        ) from error
    if not there:
        raise UsageError(f"The source {url} is not there: name the folder that holds the sidecars.")
    return open_shards(url) if shards else RemoteFolder(url)
