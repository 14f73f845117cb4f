"""What an export is asked for beside its formats. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from jobstore.schema import OutcomeState


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Which outcomes and objects are written, and how; the defaults write everything.

    Attributes:
        min_confidence: objects and classes with a lower score are left out; what has no score stays.
        classes: names; objects of others are left out. Empty: all. Maps of pixels, depth and texts are not filtered.
        states: outcomes of others are left out. Empty: all. Most formats hold pictures with a record only.
        save_conf: `yolo` writes the score at each line's end; most trainers refuse such files.
        with_images: `yolo`, `voc` and `hf` get copies of the pictures that can be read from here.
        previews: pictures of the format `previews` at most, taken evenly over the job.

    Raises:
        ValueError: a confidence that is none, or no number of previews.
    """

    min_confidence: float = 0.0
    classes: tuple[str, ...] = ()
    states: tuple[OutcomeState, ...] = ()
    save_conf: bool = False
    with_images: bool = False
    previews: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is {self.min_confidence}; expected a number from 0 to 1")
        if self.previews < 1:
            raise ValueError(f"previews is {self.previews}; expected 1 or more")


#: Nothing is left out.
EVERYTHING = ExportOptions()
