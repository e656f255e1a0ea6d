"""Tables of what Python has in rows or in columns."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa


def table_of(columns: Iterable[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of columns."""
    return pa.table(list(map(pa.array, columns, schema.types)), schema)


def table_of_rows(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of rows, of which there may be none."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return table_of(columns or [[]] * len(schema), schema)
