"""Headers of a tar archive, and the extended headers before them, parsed; no file is read here.

The forms are v7, ustar and pax (POSIX.1-2001, `pax`, its two "Interchange Formats") and GNU's (its
manual, "Basic Tar Format"), as tarfile, GNU tar and bsdtar write them.
"""

from functools import lru_cache
from typing import Literal, NamedTuple
from zlib import adler32

BLOCK = 512

ASCII = bytes(range(128))

OCTAL = b"01234567"

NO_SUM = -BLOCK * 256  # below the sum of any block, even of signed bytes

Kind = Literal["regular", "link", "symlink", "directory", "device", "fifo", "sparse", "other"]

KINDS: dict[int, Kind] = {
    ord("\0"): "regular",  # v7
    ord("0"): "regular",  # ustar and pax
    ord("1"): "link",
    ord("2"): "symlink",
    ord("3"): "device",
    ord("4"): "device",
    ord("5"): "directory",
    ord("6"): "fifo",
    ord("7"): "regular",  # contiguous
    ord("S"): "sparse",
}

WITH_DATA = frozenset({"regular", "sparse", "other"})  # the size field of the others means nothing

REGULAR, OLD_SPARSE = b"0S"

LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = b"LKxg"

EXTENDED = frozenset({LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL, ord("X")})  # X: as x, of old Solaris

PATH, SIZE, TARGET = b"path", b"size", b"linkpath"

SPARSE_NAME, SPARSE = b"GNU.sparse.name", b"GNU.sparse."


class Header(NamedTuple):
    """A header without the extended ones before it; `flag` is its typeflag.

    `target` is the name that a link leads to.
    """

    name: bytes
    size: int
    flag: int
    kind: Kind
    target: bytes = b""


def parse_header(block: bytes) -> Header | None:
    """Parse a block as a header; None if its checksum or its size does not hold."""
    if len(block) < BLOCK or not _sum_holds(block):
        return None
    flag = block[156]
    kind = KINDS.get(flag, "other")
    name = _text(block[:100])
    # Where ustar has the front of a long name, GNU's form has times.
    if block[345] and block[257:262] == b"ustar" and block[262:265] != b"  \0":
        name = _text(block[345:500]) + b"/" + name
    if not flag and name.endswith(b"/"):  # v7 has no flag for directories
        kind = "directory"
    size = _number(block[124:136]) if kind in WITH_DATA else 0
    target = _text(block[157:257]) if kind == "link" else b""
    return None if size is None else Header(name, size, flag, kind, target)


def _sum_holds(block: bytes) -> bool:
    """Compare the checksum; old tars added up signed bytes, so either sum will do."""
    stated = stated_sum(block[148:156])
    # The low half of adler32 is 1 + the sum modulo 65521, which 256 bytes cannot reach: 0.35 us,
    # where sum(block) takes 1.8.
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    return stated == total or stated == total - 256 * len(block.translate(None, ASCII))


@lru_cache(1024)  # the headers of a shard share a few hundred checksums
def stated_sum(field: bytes) -> int:
    """Return what all bytes of a header with this checksum field add up to; NO_SUM if it has none.

    The checksum itself counts the bytes of its own field as blanks.
    """
    checksum = _octal(field)
    return NO_SUM if checksum is None else checksum - 8 * ord(" ") + sum(field)


def _number(field: bytes) -> int | None:
    """Parse a size: octal, or base 256 as GNU writes large ones; None if negative or neither."""
    return int.from_bytes(field[1:]) if field[0] == 0x80 else _octal(field)


def _octal(field: bytes) -> int | None:
    digits = _text(field).strip(b" ")
    return int(digits, 8) if digits and not digits.strip(OCTAL) else None


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def parse_extended(flag: int, body: bytes) -> dict[bytes, bytes] | None:
    """Parse what an extended header says of a member's path, target, size and form.

    Parameters
    ----------
    flag
        The typeflag: GNU's for a long name or a long target, or one of pax.
    body
        The data behind the header.

    Returns
    -------
    dict of bytes to bytes, or None
        The values of PATH, TARGET, SIZE (digits) and SPARSE_NAME; SPARSE is there if any record of
        a sparse file is. None if the body is malformed.
    """
    if flag == LONG_NAME:
        return {PATH: _text(body)}
    if flag == LONG_LINK:
        return {TARGET: _text(body)}
    said: dict[bytes, bytes] = {}
    at, body = 0, body.rstrip(b"\0")
    while at < len(body):
        # A record is b"15 path=a.json\n", where 15 counts all of it.
        digits = body[at : at + 8].partition(b" ")[0]
        stop = at + int(digits) if digits.isdigit() else 0
        key, equals, value = body[at + len(digits) + 1 : stop - 1].partition(b"=")
        if not equals or body[stop - 1 : stop] != b"\n":
            return None
        if key == SIZE and not (value.isdigit() and len(value) <= 20):
            return None
        if key in (PATH, TARGET, SIZE, SPARSE_NAME):
            said[key] = value
        if key.startswith(SPARSE):
            said[SPARSE] = b"yes"
        at = stop
    return said


class Said(NamedTuple):
    """What extended headers have said: of every member that follows, and of the next one.

    `once` is None if what was said of the next member cannot be read: its name is not known then.
    """

    always: dict[bytes, bytes]
    once: dict[bytes, bytes] | None

    def joined_by(self, flag: int, records: dict[bytes, bytes] | None) -> "Said":
        """Add the records of one more extended header; None if it could not be parsed."""
        if flag == PAX_GLOBAL:
            return self._replace(always=self.always | records) if records else self
        if records is None or self.once is None:
            return self._replace(once=None)
        return self._replace(once=self.once | records) if records else self

    def applied_to(self, header: Header) -> Header:
        """Return a member's header, changed by the extended ones before it."""
        said = self.always | (self.once or {})
        if not said:
            return header
        return Header(
            name=said.get(SPARSE_NAME) or said.get(PATH) or header.name,
            size=int(said.get(SIZE, header.size)) if header.kind in WITH_DATA else 0,
            flag=header.flag,
            kind="sparse" if SPARSE in said else header.kind,
            target=said.get(TARGET, header.target) if header.kind == "link" else b"",
        )

    def behind_member(self) -> "Said":
        """Return what still holds for the members after the next."""
        return Said(self.always, {}) if self.always else NOTHING


NOTHING = Said({}, {})  # the one such value, which `walk` compares by identity
