"""The JSON sidecars of an image-text dataset, as a table and caption files, on Dask.

Each command of the command line is a function here. Given a Dask `client` it works on that
cluster; without one, on Dask's scheduler of this process. It returns a summary and prints nothing.
"""

import copyreg
import sys
from importlib import import_module
from importlib.metadata import version

import lazy_loader

# The names are those of __init__.pyi. Lazy, because the command line starts a process before its
# half second of imports; see __main__.py.
_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Return a public name, loaded when it is first asked for."""
    return version(__name__) if name == "__version__" else _loaded(name)


# lazy_loader gives this module a class of its own that pickle does not know, and Dask pickles the
# modules that a notebook's functions use.
copyreg.pickle(type(sys.modules[__name__]), lambda module: (import_module, (module.__name__,)))
