"""Clips that show the same action, one after the other, are one span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inference_engine.tasks.action_recognition import ActionSpans


@dataclass(frozen=True, slots=True)
class _Span:
    class_id: int
    scores: tuple[float, ...]
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float

    def joined(self, after: _Span) -> _Span:
        """One span of both."""
        scores = self.scores + after.scores
        return replace(self, scores=scores, end_frame=after.end_frame, end_s=after.end_s)


class Actions:
    """Follows the classifications of a video's clips."""

    def __init__(self, class_names: Sequence[str], fps: float) -> None:
        """Begin a video.

        Args:
            class_names: of the model.
            fps: frames a second of the video, about.
        """
        self._class_names, self._fps = tuple(class_names), fps
        self._spans: list[_Span] = []
        self._image_hw: tuple[int, int] | None = None

    def follow(self, record: Mapping[str, Any], timestamp_s: float) -> Mapping[str, Any]:
        """Take the clip's best class, if it has one that is sure enough."""
        self._image_hw = (record["image_hw"][0], record["image_hw"][1])
        if not record["class_id"]:
            return record
        span = _Span(
            record["class_id"][0],
            (record["confidence"][0],),
            record["start_frame"],
            record["end_frame"],
            timestamp_s,
            record["end_s"],
        )
        last = self._spans[-1] if self._spans else None
        if last is not None and (last.class_id, last.end_frame) == (span.class_id, span.start_frame):
            self._spans[-1] = last.joined(span)
        else:
            self._spans.append(span)
        return record

    def facts(self) -> Mapping[str, Any]:
        """The spans as a record of `ActionSpans`; a span's confidence is the mean of its clips'."""
        if self._image_hw is None:
            return {}
        spans = ActionSpans(
            start_frame=np.array([span.start_frame for span in self._spans], np.int64),
            end_frame=np.array([span.end_frame for span in self._spans], np.int64),
            confidence=np.array([np.mean(span.scores) for span in self._spans], np.float32),
            class_id=np.array([span.class_id for span in self._spans], np.int64),
            fps=self._fps,
            image_hw=self._image_hw,
            class_names=self._class_names,
            times_s=np.array([(span.start_s, span.end_s) for span in self._spans], np.float64).reshape(-1, 2),
        )
        return {"actions": spans.to_record()}
