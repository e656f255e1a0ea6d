"""What must be true of a run in which one worker sees other files than the client does."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from datasets_at_home import Outcome, outcome, same

ODD = ("worker-odd", "node-odd")
"""The name and the host of the worker that sees other files."""
CAPTION = re.compile(rb'("short_caption": *")([A-Za-z])')


@dataclass(frozen=True)
class Wanted:
    """What a command must leave, and which folder is not the same everywhere."""

    table: Path
    data: Path
    outcome: Outcome
    folder: Path
    status: int = 0

    def check_right_or_told(self, result):
        """Check that all is right, or that the command ends with 1; the odd worker is named."""
        said = result.stdout + result.stderr
        assert "Traceback" not in said, said
        if result.returncode == 1 and self.is_told(result.stderr):
            made = outcome(self.table, self.data)
            assert made.table in {None, self.outcome.table}, "a wrong table was published"
        else:
            self.check_right(result)
            assert self.is_told(said), f"no line names {ODD} and {self.folder}:\n{said}"

    def check_right(self, result):
        """Check that all that can be made is made, and no more."""
        made, wanted = outcome(self.table, self.data), self.outcome
        said = result.stdout + result.stderr
        assert result.returncode == self.status, said
        assert same(made.table, wanted.table), f"the table is another, or none: {said}"
        assert same(made.ledger, wanted.ledger), f"the ledger is another, or none: {said}"
        missing = len(wanted.captions.keys() - made.captions.keys())
        assert missing == 0, f"{missing} caption files are missing"
        assert same(made.captions, wanted.captions), "caption files are others"

    def is_told(self, said):
        """Whether one line names the worker, its host and the folder."""
        words = (*ODD, str(self.folder))
        return any(all(word in line for word in words) for line in said.splitlines())


def older_copy(folder, place):
    """Copy a folder, and let every caption there begin otherwise."""
    shutil.copytree(folder, place)
    for path in _sidecars(place):
        path.write_bytes(CAPTION.sub(rb"\1OLD \2", path.read_bytes()))
    return place


def twin(folder, place):
    """Copy a folder, and change captions there so that sizes and times are the same still."""
    shutil.copytree(folder, place)
    for path in _sidecars(place):
        changed = path.stat()
        path.write_bytes(CAPTION.sub(rb"\1~", path.read_bytes()))
        os.utime(path, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    return place


def _sidecars(folder):
    return [path for path in folder.glob("*.json") if path.is_file() and not path.is_symlink()]
