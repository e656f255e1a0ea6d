"""A real Slurm of several nodes, from Debian's packages: a node is a host, without systemd."""

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hosts import Host, kill
from processes import until

TOOLS = ("slurmctld", "slurmd", "munged", "sinfo", "srun", "sbatch", "scancel")
CPUS = 4
"""What each node claims to have; nobody checks."""

CONFIG = """\
ClusterName=cutline
SlurmctldHost={head.hostname}({head.address})
SlurmctldPort=6817
SlurmdPort=6818
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
KillWait=2
"""
NODE = "NodeName={node.hostname} NodeAddr={node.address} CPUs={cpus} RealMemory=8000\n"
PARTITION = "PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP\n"


@dataclass(frozen=True)
class Slurm:
    """A Slurm that runs: commands are given on its head, where the controller is."""

    head: Host
    nodes: list
    folder: Path

    @property
    def environment(self):
        return {**os.environ, "SLURM_CONF": f"{self.folder}/slurm.conf"}

    def run(self, *command, **options):
        """Run one of Slurm's commands, or what calls them, to its end."""
        return self.head.run(*command, env=self.environment, **options)

    def check(self, *command, **options):
        """Run a command that must succeed, and return what it printed."""
        return self.head.check(*command, env=self.environment, **options)


@contextmanager
def slurm_on(head, nodes, folder):
    """Run a controller on one host and a daemon on each of the nodes, until the block ends."""
    slurm = Slurm(head, list(nodes), Path(folder))
    _write_config(slurm)
    processes = []
    try:
        processes += [_start_munge(slurm)]
        processes += [_start(slurm, head, "slurmctld", "-D")]
        processes += [_start(slurm, node, "slurmd", "-D", "-N", node.hostname) for node in nodes]
        until(
            lambda: slurm.run("sinfo", "-h", "-o", "%D %t").stdout == f"{len(nodes)} idle\n",
            "idle nodes",
        )
        yield slurm
    finally:
        for process in reversed(processes):
            kill(process)


def _write_config(slurm):
    (slurm.folder / "state").mkdir()
    names = ",".join(node.hostname for node in slurm.nodes)
    config = CONFIG.format(head=slurm.head, folder=slurm.folder)
    config += "".join(NODE.format(node=node, cpus=CPUS) for node in slurm.nodes)
    (slurm.folder / "slurm.conf").write_text(config + PARTITION.format(names=names))


def _start_munge(slurm):
    """Start what vouches for users; all hosts reach it by its socket, which is a file."""
    folder = slurm.folder
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
    options = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
    return _start(
        slurm, slurm.head, "munged", "--foreground", "--force", *options, "--log-file=/dev/stderr"
    )


def _start(slurm, host, daemon, *options):
    with open(slurm.folder / f"{daemon}.{host.name}.log", "w") as log:
        command = (f"/usr/sbin/{daemon}", *options)
        return host.start(*command, env=slurm.environment, stdout=log, stderr=subprocess.STDOUT)
