"""What is below a folder, to compare before and after."""

import os


def tree(folder):
    """{path: what stands there} of everything below a folder: bytes, a link's target, or None.

    Without what cutline keeps for itself beside the images.
    """
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if os.fsdecode(name) != ".cutline"]
        for name in folders + files:
            path = os.path.join(place, name)
            found[os.path.relpath(path, folder)] = content(path)
    return found


def tree_in_bytes(folder):
    """The same, with paths as bytes: they may be of any."""
    return tree(os.fsencode(folder))


def content(path):
    if os.path.islink(path):
        return f"-> {os.readlink(path)}"
    if os.path.isdir(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def texts(folder):
    """The caption files of a flat folder: {name: bytes}."""
    return {name: data for name, data in tree(folder).items() if name.endswith(".txt")}


def make_unlistable(folder):
    """Make folders in one another, whose path is longer than one may be."""
    place = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=place)
        above, place = place, os.open("x" * 250, os.O_RDONLY, dir_fd=place)
        os.close(above)
    os.close(place)
