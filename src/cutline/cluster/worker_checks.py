"""Whether the processes of a cluster can do a job, and would write the same bytes."""

import importlib.metadata
import importlib.util
from typing import Final

from distributed import Client

from cutline.errors import CutlineError, said

MUST_MATCH: Final = ("cutline", "pyarrow", "orjson", "msgspec", "fsspec")
"""Packages whose versions change the bytes of what is written."""


def check_scheduler(client: Client) -> None:
    """Refuse a scheduler that cannot read the tasks of a job.

    Raises
    ------
    CutlineError
        It lacks cutline.
    """
    # A function of the standard library, which every scheduler has.
    if client.run_on_scheduler(importlib.util.find_spec, "cutline") is None:
        raise CutlineError(
            "The scheduler lacks cutline, and has to read its tasks: install it there."
        )


def check_versions(client: Client) -> None:
    """Refuse workers that lack cutline, or would write other bytes.

    Raises
    ------
    CutlineError
        One of them has another version of a package in `MUST_MATCH`.
    """
    packages = MUST_MATCH

    # Inside, because a function of a module is sent by its name, and some worker may lack cutline.
    def versions() -> dict[str, str]:
        found = {name: [*importlib.metadata.distributions(name=name)] for name in packages}
        return {name: of[0].version for name, of in found.items() if of}

    here = versions()
    for worker, there in client.run(versions, on_error="return").items():
        if isinstance(there, Exception):
            raise CutlineError(
                f"The worker at {worker} cannot tell its versions ({said(there)}): install the"
                " Python and the packages of this process there."
            )
        for name, version in here.items():
            if there.get(name) != version:
                has = f"has version {there[name]} of" if name in there else "lacks"
                raise CutlineError(
                    f"The worker at {worker} {has} {name}, and this is {version}:"
                    f" install {name}=={version} there."
                )
