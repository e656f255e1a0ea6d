"""A small dataset that nothing is wrong with, to be spoilt."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import cutline

NAMES = ("a.png", "b.jpg", "c d.webp", "e.v2.png", "façade 夜.jpeg", "sub/f.gif", "sub/deep/g.bmp")
SIZE = (64, 48)


@dataclass
class Dataset:
    """Images, sidecars and caption files below `data`, and the table of them."""

    root: Path

    @property
    def data(self):
        return self.root / "data"

    @property
    def table(self):
        return str(self.root / "set.parquet")

    def add(self, name, **fields):
        """Add an image and its sidecar."""
        image = self.data / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, "teal").save(image)
        self.add_sidecar(os.path.splitext(name)[0], **{"image_name": image.name} | fields)

    def add_sidecar(self, stem, **fields):
        """Add a sidecar; a field that is None is left out."""
        record = {"width": SIZE[0], "height": SIZE[1], "short_caption": f"The picture {stem}"}
        record = {key: value for key, value in (record | fields).items() if value is not None}
        (self.data / f"{stem}.json").write_text(json.dumps(record))

    def prepare(self):
        """Compile the table and write the caption files."""
        cutline.compile_table(str(self.data), self.table, cutline.CompileOptions(max_rejects=1))
        cutline.write_captions(self.table, str(self.data))

    def rows(self):
        return pq.read_table(self.table).to_pylist()

    def rewrite(self, rows, schema=None):
        """Put other rows into the table, as somebody's own script might."""
        schema = schema or pq.read_schema(self.table).remove_metadata()
        pq.write_table(pa.Table.from_pylist(rows, schema), self.table)

    def change(self, row, **fields):
        """Change one row of the table."""
        rows = self.rows()
        rows[row] |= fields
        self.rewrite(rows)

    def verify(self, **options):
        """Verify in this process."""
        options = cutline.VerifyOptions(**options)
        return cutline.verify_dataset(self.table, str(self.data), options)

    def tree(self):
        """Give every file below the folder with its bytes, and every folder."""
        return {
            path.relative_to(self.root): path.is_file() and path.read_bytes()
            for path in self.data.rglob("*")
        }


def intact(root):
    """Make a dataset, and prepare it."""
    made = Dataset(root)
    for name in NAMES:
        made.add(name)
    made.prepare()
    return made
