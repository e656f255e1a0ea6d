"""What the hosts need that is not Python."""

import os
import shutil

import pytest


def require(*tools):
    """Skip for whoever may not make hosts; fail where only the tools are missing."""
    if os.geteuid():
        pytest.skip("only root may make network namespaces and mounts")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found: `make cluster-tools` installs them")
