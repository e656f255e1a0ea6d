"""How a file shows that cutline wrote it, so that what users made or edited is never replaced.

What an extraction writes bears a time of modification that it alone gives (`shard_versions`). What
`captions` writes is remembered by hashes of its path and of its content (`caption_marks`). What
was moved out of the way stays there (`moved_files`).
"""

from cutline.plan.marks import caption_marks, moved_files, shard_versions
from cutline.plan.marks.caption_marks import OwnCaptions
from cutline.plan.marks.shard_versions import Known

__all__ = ["Known", "OwnCaptions", "caption_marks", "moved_files", "shard_versions"]
