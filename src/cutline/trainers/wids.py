"""The index of the ``wids`` package, which reads all samples of shards by number: a JSON file.

The format is that of ``wids/wids_specs.py`` of webdataset 0.2, which has the package in it. It has
no list of samples, so rejected ones are in it, too; ``nsamples`` is counted as the reader counts.
The ``md5sum`` of a shard is left out: nothing reads it, and it takes as long as the whole set.
"""

import re
from itertools import groupby
from typing import Any, Final

import orjson
import pyarrow.compute as pc
from distributed import Client

from cutline.plan import shard_index
from cutline.progress import Watcher
from cutline.sources import shard_names
from cutline.store import TableFiles, TableStore, disk
from cutline.trainers.formats import ShardFormat
from cutline.trainers.in_shards import sharded_table

SUFFIX: Final = ".wids.json"

_KEY: Final = re.compile(rb"((?:.*/)?.*?)\..*", re.DOTALL)
"""As `splitname` of ``wids/wids.py`` cuts a name: at the first dot."""

_FILES: Final = ("bad_name", "system_file")
"""Members that are no files of ours, and are of wids."""


def _write(
    table: str, shards: shard_names.ShardSet, out: str, client: Client | None, watcher: Watcher
) -> int:
    with TableFiles.of(table).locked(watcher.say) as files:
        sharded = sharded_table(files, shards, client, watcher)
        listed = [_listed(one.index, shards, files.store) for one in sharded.each]
    content = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": listed}
    with disk.publish(out) as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return sum(one["nsamples"] for one in listed)


def _listed(
    index: shard_index.ShardIndex, shards: shard_names.ShardSet, store: TableStore
) -> dict[str, Any]:
    with shards.source.opened(index.shard) as shard:
        return {
            "url": shard.place,
            "nsamples": _count_samples(index, store),
            "filesize": shard.size,
        }


def _count_samples(index: shard_index.ShardIndex, store: TableStore) -> int:
    members = shard_index.member_lines(index, ["reason"], store)
    files = members.filter(pc.field("reason").is_null() | pc.field("reason").isin(_FILES))
    names = dict.fromkeys(files["path"].to_pylist())
    keys = (found[1] for name in names if (found := _KEY.fullmatch(name)))
    return sum(1 for _ in groupby(keys))


WIDS: Final = ShardFormat(SUFFIX, _write)
