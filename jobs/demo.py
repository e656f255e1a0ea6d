"""A tour: make a small dataset with planted faults, prepare it, and show what came out.

python jobs/demo.py DIR
"""

import subprocess
import sys
from pathlib import Path

CUTLINE = [sys.executable, "-m", "cutline"]


def step(title: str, *command: str) -> None:
    """Show a command and run it; 1 is the status of what found something to mend."""
    print(f"\n# {title}\n$ {' '.join(['cutline', *command])}", flush=True)
    if subprocess.run([*CUTLINE, *command], check=False).returncode > 1:  # noqa: S603 - our own
        sys.exit(1)


def main() -> None:
    """Tour DIR/dalle3, which must not be there yet."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = Path(sys.argv[1]) / "dalle3"
    step("A dataset with planted faults", "demo", str(root))
    step("The table, straight from the shards", "run", str(root), "--no-extract")
    step("The whole recipe, and what would stop a training", "run", str(root))
    step("Out of the way with that", "run", str(root), "--orphans", "move")
    step("The first rows", "head", str(root / "dalle3.parquet"), "-n", "5")
    print(f"\n# What is there now\n{root}/")
    for path in sorted(root.iterdir()):
        count = f"  ({sum(1 for _ in path.iterdir()):,} entries)" if path.is_dir() else ""
        print(f"  {path.name}{'/' if path.is_dir() else ''}{count}")


if __name__ == "__main__":
    main()
