import re
import subprocess
import sys

SPARED = """
import sys

import cutline.prefork

cutline.prefork.spare_pandas()

import cutline.ledger
import pyarrow as pa

table = pa.table({"a": [1, 2], "b": ["x", None]})
assert table.filter(pa.array([True, False])).to_pylist() == [{"a": 1, "b": "x"}]
assert cutline.ledger.LEDGER.empty_table().num_rows == 0
print("pandas" in sys.modules)

import pandas

print(pandas.Series([1, 2]).sum())
"""


def python(*arguments, check=True, **options):
    """Run this Python to its end."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=check, **options)


def test_pyarrow_does_without_pandas_and_others_find_it():
    assert python("-c", SPARED).stdout.split() == ["False", "3"]


def test_a_worker_has_no_pandas():
    script = "import sys, cutline.worker; print('pandas' in sys.modules)"
    assert python("-c", script).stdout == "False\n"


def test_a_job_of_every_kind_loads_no_pandas(tmp_path):
    python("-m", "cutline", "demo", "demo", "--records", "100", cwd=tmp_path)
    for job in (["run", "demo"], ["report", "demo/demo.parquet"]):
        command = ["-m", "cutline", *job, "--workers", "1", "--dashboard-address", "none"]
        # A run tells of the demo's faults with its exit status.
        imports = python("-X", "importtime", *command, cwd=tmp_path, check=False).stderr
        assert re.search(r"\| +pyarrow$", imports, re.MULTILINE)
        # A package that was looked for in vain is listed, too; its modules are not.
        assert not re.search(r"\| +pandas\.", imports)
