"""The DATA argument: the folder of the images."""

import os

from cutline import store
from cutline.errors import UsageError


def data_folder(data: store.AnyPath) -> str:
    """Take a folder that is there.

    Raises
    ------
    UsageError
        It is none, or a URL.
    """
    path = local_path(data)
    if not os.path.isdir(path):
        raise UsageError(f"There is no folder {os.fspath(data)}: name the folder of the images.")
    return path


def new_data_folder(data: store.AnyPath) -> str:
    """Take a folder that may not be there yet.

    Raises
    ------
    UsageError
        It is a URL or a file, or there is no folder to make it in.
    """
    path = local_path(data)
    if os.path.isdir(path):
        return path
    if os.path.lexists(path):
        raise UsageError(f"The folder {os.fspath(data)} is a file: name a folder to unpack into.")
    if not os.path.isdir(os.path.dirname(path)):
        raise UsageError(f"The folder {os.path.dirname(path)} is not there: make it first.")
    return path


def local_path(data: store.AnyPath) -> str:
    """Take a path of this machine."""
    data = os.fspath(data)
    if "://" in data:
        raise UsageError(f"The folder {data} is a URL: name one on a disk that every worker sees.")
    return store.absolute(data)
