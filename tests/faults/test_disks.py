"""Disks that are too small, and disks whose power is cut."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from world import found, make_world, prepare

from cutline import DemoOptions, make_demo

CUTS = 24


def mounts_work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    image = disk_image(folder / "image", 8)
    try:
        with mounted(image, folder / "disk", "-o", "loop"):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


class mounted:  # noqa: N801 - reads as what it does
    """Something mounted at a place, for the length of a block."""

    def __init__(self, what, place, *options):
        self.command = ["mount", *options, str(what), str(place)]
        self.place = str(place)

    def __enter__(self):
        os.makedirs(self.place, exist_ok=True)
        subprocess.run(self.command, check=True, capture_output=True)
        return self.place

    def __exit__(self, *_):
        subprocess.run(["umount", self.place], check=True)


def disk_image(path, megabytes):
    with open(path, "wb") as file:
        file.truncate(megabytes * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True)
    return path


@pytest.fixture(scope="module", autouse=True)
def _mounts(tmp_path_factory):
    if not mounts_work(tmp_path_factory):
        pytest.skip("this machine lets nobody mount a loop device: it takes root and a device")


def command(*arguments):
    options = ["--workers=2", "--dashboard-address=none", "--max-rejects=1", "--quiet"]
    return [sys.executable, "-m", "cutline", *arguments, *options]


def test_a_run_on_a_disk_that_is_too_small_goes_on_when_there_is_room(tmp_path):
    make_demo(tmp_path / "demo", DemoOptions(20_000, images=False))
    sidecars = str(tmp_path / "demo" / "data")
    with mounted("tmpfs", tmp_path / "disk", "-t", "tmpfs", "-o", "size=64m") as disk:
        shutil.copy(tmp_path / "demo" / "expected.json", disk)
        with open(f"{disk}/filler", "wb") as filler:
            filler.write(bytes(64 * 2**20 - 900_000))
        run = command("compile", sidecars, f"{disk}/x.parquet", "--partition-size=1000")
        first = subprocess.run(run, capture_output=True, text=True, check=False)
        assert first.returncode == 1, first.stderr
        assert first.stderr.count("\n") == 1
        needed = re.search(
            r"No space left on device \(.* are free of the 67.1 MB of .*disk\)"
            r", and about ([\d.]+) (kB|MB) are needed to finish: make room",
            first.stderr,
        )
        assert needed, first.stderr
        parts = os.listdir(f"{disk}/x.parts")
        assert len(parts) >= 2
        assert not os.path.exists(f"{disk}/x.parquet")
        os.unlink(f"{disk}/filler")

        captions = command("captions", f"{disk}/x.parquet", disk)
        again = subprocess.run([*run, "--json"], capture_output=True, text=True, check=True)
        assert f'"reused_parts":{len(parts)}' in again.stdout
        used = sum(
            len(data) for path, data in found(disk).items() if data and path != "expected.json"
        )
        assert used / 3 < float(needed[1]) * {"kB": 1e3, "MB": 1e6}[needed[2]] < used * 2
        refused = subprocess.run(captions, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert re.match(
            r"cutline: The caption files take [78]\d\.?\d* MB and 1\d,\d{3} inodes, but .* are"
            r" free of the 67.1 MB of .*: make room",
            refused.stderr,
        )
        assert not any(name.endswith(".txt") for name in os.listdir(disk))

        subprocess.run(["mount", "-o", "remount,size=256m", disk], check=True)
        subprocess.run(captions, check=True)
        subprocess.run(["mount", "-o", f"remount,size={used_by(disk) + 2**20}", disk], check=True)
        full = subprocess.run([*captions, "--json"], capture_output=True, text=True, check=False)
        assert full.returncode == 0, full.stderr
        assert '"written":0,"replaced":0' in full.stdout


def used_by(disk):
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_a_power_cut_at_any_instant_tears_nothing(tmp_path, capsys):
    image = disk_image(tmp_path / "image", 32)
    copies = []
    job = "import sys; from world import prepare; prepare(sys.argv[1]); print('done')"
    with mounted(image, tmp_path / "disk", "-o", "loop,commit=1") as disk:
        world = make_world(f"{disk}/root", first=False)
        subprocess.run(["sync", "-f", disk], check=True)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", job, f"{disk}/root"], env=environment, stdout=subprocess.PIPE
        ) as process:
            while not os.path.exists(f"{disk}/root/x.cutline/lock"):
                assert process.poll() is None
                time.sleep(0.001)
            while process.poll() is None or len(copies) < CUTS:
                copy = cut(process, image, tmp_path / f"cut-{len(copies)}")
                copies.append((copy, process.poll()))
                time.sleep(0.002 if process.poll() is None else 0.2)
    different = list({read(copy): (copy, code) for copy, code in copies}.values())
    states = {look_and_go_on(world, copy, tmp_path / "disk", code) for copy, code in different}
    with capsys.disabled():
        print(f"\n{len(copies)} power cuts, {len(different)} different images,", end=" ")
        print(f"{len(states)} states of the files, violations: 0")
    assert len(states) > 5


def read(copy):
    with open(copy, "rb") as file:
        return hashlib.blake2b(file.read()).digest()


def cut(process, image, copy):
    """Copy an image as it is on the disk at an instant: what was not synced is not in it.

    The job stands still meanwhile, or its next name would be there without the data before it.
    """
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGSTOP)
        while process.poll() is None and state_of(process) != "T":
            time.sleep(0.0001)
    before = None
    while before != (before := os.stat(image).st_mtime_ns):  # the journal is written by itself
        subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    process.send_signal(signal.SIGCONT)
    return copy


def state_of(process):
    """The state of a process, as proc(5) has it: T is stopped."""
    with open(f"/proc/{process.pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def look_and_go_on(world, copy, place, code):
    """Mount what a power cut left, which replays the journal, look, and run the job again."""
    with mounted(copy, place, "-o", "loop") as disk:
        root = f"{disk}/root"
        state = sorted(found(root).items(), key=lambda item: item[0])
        assert list(world.faults_amid(code)) == []
        prepare(root)
        assert list(world.faults_after()) == []
    os.unlink(copy)
    return hash(tuple(state))
