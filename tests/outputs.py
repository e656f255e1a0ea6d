"""Looking at what a compile leaves behind, beside what the oracle says."""

from pathlib import Path

import pyarrow.parquet as pq

import oracle


def rows_of(table):
    return [tuple(line.values()) for line in pq.read_table(table).to_pylist()]


def ledger_path(table):
    return table.removesuffix(".parquet") + ".rejects.parquet"


def ledger_of(table):
    """The ledger's lines as the oracle writes them: without the details."""
    lines = pq.read_table(ledger_path(table)).to_pylist()
    return [(line["source"], line["reason"], line["filename"]) for line in lines]


def files_of(table):
    return Path(table).read_bytes(), Path(ledger_path(table)).read_bytes()


def check_against_oracle(source, table, summary, **rules):
    rows, ledger = oracle.compile_folder(source, **rules)
    assert rows_of(table) == rows
    assert ledger_of(table) == ledger
    assert summary.rows == len(rows)
    assert summary.sidecars == len(oracle.sidecar_paths(source)) == len(rows) + len(ledger)
    reasons = [reason for _, reason, _ in ledger]
    assert summary.rejects == {reason: reasons.count(reason) for reason in sorted(set(reasons))}
