import os
import signal

from distributed import Client, LocalCluster

from cutline.cluster.census import count_workers
from schedulers import wait_until


def test_workers_that_are_lost_or_late_are_counted_and_those_sent_home_are_not_lost():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        counts = count_workers(client)
        same = {"hosts": 1}
        assert counts() == {**same, "workers": 2, "lost": 0, "late": 0}
        pids = client.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        wait_until(lambda: counts() == {**same, "workers": 2, "lost": 1, "late": 1})
        client.retire_workers([next(iter(client.nthreads()))], close_workers=True)
        wait_until(lambda: counts()["workers"] == 1)
        assert counts() == {**same, "workers": 1, "lost": 1, "late": 1}
