"""The clusters that jobs run on: kinds and their file, connecting, running bags, the dashboard.

Each kind of cluster is a module of its own, named in `kinds.KINDS`. A job gets a client from
`connect`, has its bags computed by `running`, with a cluster or without one, and opens
`worker_checks.checked` around that.
"""

from cutline.cluster import census, dashboard, kinds, running, worker_checks
from cutline.cluster.connecting import connect

__all__ = ["census", "connect", "dashboard", "kinds", "running", "worker_checks"]
