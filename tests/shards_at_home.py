"""Sets of shards, written by hand and compiled, and what is in them by another reader."""

import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cutline.table import compile_table
from sidecars import as_bytes, record
from tar_bytes import by_tarfile


def png(width=64, height=48, shade=0):
    file = io.BytesIO()
    Image.new("L", (width, height), shade).save(file, "PNG")
    return file.getvalue()


def sample(name, shade=0, **changes):
    """A sidecar and its image, as members."""
    fields = record(f"{name}.png", width=64, height=48, **changes)
    return [(f"{name}.json", as_bytes(fields)), (f"{name}.png", png(shade=shade))]


class ShardSet:
    """A folder of shards, `data`, and the table that is compiled from them beside it."""

    def __init__(self, root):
        self.root, self.data, self.table = root, root / "data", root / "set.parquet"
        self.index = root / "set.webshart"
        self.data.mkdir(parents=True)

    def write(self, **shards):
        for name, members in shards.items():
            (self.data / f"{name}.tar").write_bytes(by_tarfile(members))
        return self

    def compile(self):
        return compile_table(self.data, self.table)

    def rows(self):
        return {row["filename"]: row for row in pq.read_table(self.table).to_pylist()}

    def members(self):
        """The bytes of each member, by its name and its shard."""
        found = {}
        for path in sorted(self.data.glob("*.tar")):
            with tarfile.open(path) as tar:
                for member in filter(tarfile.TarInfo.isfile, tar):
                    found[path.stem, member.name] = tar.extractfile(member).read()
        return found

    def replace_captions(self, captions):
        """Have the table hold other captions: text, or lists of texts."""
        table = pq.read_table(self.table)
        place = table.schema.get_field_index("caption")
        pq.write_table(table.set_column(place, "caption", pa.array(captions)), self.table)
