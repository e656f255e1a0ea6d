"""TODO record."""

from cutline.record import judging, naming, texts
from cutline.record.judging import Rules
from cutline.record.ordinary import judge_by
from cutline.record.outcome import TOO_LARGE, Reject, Row

__all__ = ["TOO_LARGE", "Reject", "Row", "Rules", "judge_by", "judging", "naming", "texts"]
