"""The clusters that jobs run on: kinds and their file, connecting, running bags, the dashboard.

Each kind of cluster is a module of its own, named in `config.KINDS`. A job gets a client from
`connect`, has its bags computed by `running`, with a cluster or without one, and opens
`worker_checks.checked` around that.
"""

from cutline.cluster import dashboard, running, worker_checks
from cutline.cluster.address import Address
from cutline.cluster.config import Cluster, read_cluster
from cutline.cluster.connecting import connect
from cutline.cluster.local_cluster import Local

__all__ = [
    "Address",
    "Cluster",
    "Local",
    "connect",
    "dashboard",
    "read_cluster",
    "running",
    "worker_checks",
]
