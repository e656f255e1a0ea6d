"""Tar archives in memory for the tests: sound ones by tarfile, all others block by block."""

import io
import tarfile

ZEROS = bytes(512)
END = 2 * ZEROS
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def padded(data):
    return data + bytes(-len(data) % 512)


def by_tarfile(files, form="ustar"):
    """An archive of (name, data) pairs with no more padding than the format asks for."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=FORMATS[form], encoding="utf-8") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        end = archive.offset
    return out.getvalue()[:end] + END


def as_tarfile_lists(archive):
    """The oracle: name, offset, size and type of each member, by another reader."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:", encoding="utf-8") as tar:
        return [
            (m.name.encode("utf-8", "surrogateescape"), m.offset_data, m.size, m.type) for m in tar
        ]


def header(name=b"a", size=b"00000000000", flag=b"0", rest=b"ustar\x0000", checksum=None):
    """One header block; `size` is the field's bytes or a number, `rest` what begins at byte 257."""
    if isinstance(size, int):
        size = b"%011o" % size
    block = bytearray(512)
    block[: len(name)] = name
    block[100:124] = b"0000644\x000000000\x000000000\x00"
    block[124 : 124 + len(size)] = size
    block[136:148] = b"00000000000\x00"
    block[156:157] = flag
    block[257 : 257 + len(rest)] = rest
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block) if checksum is None else checksum
    return bytes(block)


def member(name, data, **fields):
    return header(name, len(data), **fields) + padded(data)


def pax(records, flag=b"x"):
    body = b"".join(pax_record(key, value) for key, value in records.items())
    return member(b"PaxHeaders/a", body, flag=flag)


def pax_record(key, value):
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


class Reader:
    """Reads an archive in memory, and remembers what was asked for."""

    def __init__(self, archive):
        self.archive = archive
        self.asked = []

    def __call__(self, length, offset):
        assert length >= 0
        assert offset >= 0
        self.asked.append((offset, length))
        return self.archive[offset : offset + length]
