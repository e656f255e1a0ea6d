"""The clusters that jobs run on: kinds and their file, connecting, running bags, the dashboard.

Each kind of cluster is a module of its own, named in `kinds.KINDS`. A job gets a client from
`connect`, and has its bags computed by `running`, with a cluster or without one.
"""

from cutline.cluster import census, dashboard, kinds, running
from cutline.cluster.connecting import connect

__all__ = ["census", "connect", "dashboard", "kinds", "running"]
