"""What a row is: one sidecar in, a `Row` or a `Reject` out.

Everything here is pure. It opens no file, knows nothing of Dask, and raises nothing for what a
record holds: a bad record is a `Reject`, a value with one of the `reasons`. `judging` reads the
record, `naming` checks the names of images, and `texts` makes text fit for captions and messages.
"""

from cutline.record import judging, naming, reasons, texts
from cutline.record.judging import Rules
from cutline.record.outcome import TOO_LARGE, Reject, Row

__all__ = ["TOO_LARGE", "Reject", "Row", "Rules", "judging", "naming", "reasons", "texts"]
