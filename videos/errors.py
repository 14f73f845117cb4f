"""Why a video cannot be read.

    Exception
    x VideoUnreadable     one video cannot be read; `code` is one of `VIDEO_REASONS`

x: never worth a retry of the same item.
"""

from __future__ import annotations

#: Why a video has no outcome of its own frames: the closed list, with what each means.
VIDEO_REASONS = {
    "not_a_video": "the first bytes are not those of a video container that is read here",
    "no_frames": "the container is damaged or has no video track, so that no frame came out of it",
    "unsupported_codec": "no decoder is there for the video track",
    "partial": "fewer frames came out than the video has, and the job asked to fail such videos",
    "video_too_large": "a frame has more pixels, or a longer side, than the limit",
    "video_too_long": "the video has more frames than are read here",
    "frames_failed": "every frame that was taken failed; each has an error of its own",
}


class VideoUnreadable(Exception):
    """One video cannot be read. `code` is one of `VIDEO_REASONS` and becomes the outcome's code."""

    def __init__(self, code: str, message: str) -> None:
        if code not in VIDEO_REASONS:
            raise ValueError(f"code {code!r} is not one of {', '.join(sorted(VIDEO_REASONS))}")
        super().__init__(message)
        self.code = code
