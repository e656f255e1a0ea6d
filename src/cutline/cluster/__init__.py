"""TODO cluster."""

from cutline.cluster import dashboard, running
from cutline.cluster.config import Address, Cluster, Local, has_dashboard, read_cluster
from cutline.cluster.connecting import connect

__all__ = [
    "Address",
    "Cluster",
    "Local",
    "connect",
    "dashboard",
    "has_dashboard",
    "read_cluster",
    "running",
]
