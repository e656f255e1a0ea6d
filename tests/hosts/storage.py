"""What must be true of a run in which one worker sees other files than the client does."""

from dataclasses import dataclass
from pathlib import Path

from datasets_at_home import Outcome, outcome

ODD = ("worker-odd", "node-odd")
"""The name and the host of the worker that sees other files."""


@dataclass(frozen=True)
class Wanted:
    """What a command must leave, and which folder is not the same everywhere."""

    table: Path
    data: Path
    outcome: Outcome
    folder: Path
    status: int = 0

    def check_right_or_told(self, result, *, odd=ODD):
        """Check that everything is right, or that nothing is done; the odd one is named."""
        said = result.stdout + result.stderr
        assert "Traceback" not in said
        if self.is_refusal(result):
            assert result.returncode == 1, said
        else:
            self.check_right(result)
        assert self.is_told(said, odd), f"none names {odd} and {self.folder}:\n{said}"

    def check_right(self, result):
        """Check that all that can be made is made."""
        assert result.returncode == self.status, result.stdout + result.stderr
        self.check_files()

    def check_files(self):
        made = outcome(self.table, self.data)
        for part in ("table", "ledger"):
            assert (getattr(made, part) is None) == (getattr(self.outcome, part) is None), part
            assert getattr(made, part) == getattr(self.outcome, part), f"the {part} is another"
        assert made.captions.keys() == self.outcome.captions.keys(), difference(made, self.outcome)
        assert made.captions == self.outcome.captions

    def is_refusal(self, result):
        return result.returncode not in {0, self.status} or not self.table.exists()

    def is_told(self, said, odd):
        """Whether one sentence names the worker, its host and the folder."""
        words = (*odd, str(self.folder))
        return any(all(word in line for word in words) for line in said.splitlines())


def difference(made, wanted):
    """Count the caption files that are missing, and those too many."""
    missing = len(wanted.captions.keys() - made.captions.keys())
    return f"{missing} missing, {len(made.captions.keys() - wanted.captions.keys())} too many"
