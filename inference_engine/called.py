"""A model that is only called, as custom code makes them, or takes clips, behind the three steps that workers run.

The session passes pictures through, one a run, and the recipe's last step calls the model: only there are the
parameters of the job known. Calls are made one at a time, since nothing is known of the code's threads.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference_engine.errors import OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.images import Fit, Image
from inference_engine.interfaces import VideoClassificationModel
from inference_engine.loading import CUSTOM, open_first
from inference_engine.model import Recipe, VisionModel
from inference_engine.negotiation import Decision, Reason
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Array, SessionOptions, Tensors, TensorSpec
from inference_engine.tasks import promptable_segmentation, prompting
from inference_engine.tasks.classification import ClassificationPrediction

#: Tasks that do nothing without a prompt, of which a measurement has none.
_PROMPTED = frozenset({prompting.TASK, promptable_segmentation.TASK})
_PICTURES = TensorSpec("images", (None, None, None, 3), "uint8")


def open_vision_model(decision: Decision, options: SessionOptions) -> VisionModel:
    """Open what was chosen, as `open_decided` does; a model of custom code is put behind the steps of a `VisionModel`.

    Raises:
        NoRunnableBackend, ProviderError, DownloadRefused.
        PackageInvalid: the custom model cannot be called with pictures.
    """
    found, decision = open_first(decision, options)
    takes_clips = isinstance(found, VideoClassificationModel)
    if isinstance(found, VisionModel) and not takes_clips:
        return found
    package = decision.packages[decision.chosen.package_id] if decision.chosen else None
    if not isinstance(package, ModelPackage):
        raise PackageInvalid(f"{decision.model_id}: an open model without a package on disk")
    if takes_clips:
        return WatchingModel(package, PassingSession(found), clips_recipe(found), decision)
    if not callable(found):
        raise PackageInvalid(
            f"{package.weights}: {type(found).__name__} cannot be called; a job needs "
            "__call__(images, *, input_color_format=None, **parameters) that gives one prediction a picture"
        )
    return VisionModel(package, PassingSession(found), called_recipe(found), decision)


def without_called(decision: Decision) -> Decision | None:
    """The decision without what cannot be measured; None where all are such.

    Models that are only called have no session, and one that is prompted takes as long as its prompt asks for.
    """
    runnable = [c for c in decision.candidates if c.verdict != "rejected"]
    called = {
        c.package_id for c in runnable if c.backend == CUSTOM or decision.packages[c.package_id].task in _PROMPTED
    }
    if all(c.package_id in called for c in runnable):
        return None
    for package_id in sorted(called):
        reason = Reason("not_measured", "a model that is only called or prompted is not measured")
        decision = decision.without_package(package_id, reason)
    return decision


@dataclass(frozen=True, slots=True, eq=False)
class PassingSession:
    """Gives what it gets; one picture a run, so that pictures of different sizes never meet."""

    model: Any
    inputs: Sequence[TensorSpec] = (_PICTURES,)
    outputs: Sequence[TensorSpec] = (_PICTURES,)
    max_batch_size: int = 1
    concurrency: int = 1

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Pass the picture on."""
        return dict(inputs)

    def close(self) -> None:
        """Close the model, if it can be."""
        getattr(self.model, "close", lambda: None)()


class WatchingModel(VisionModel):
    """A model that judges frames of a video together, behind the same three steps; a picture is a clip of itself."""

    session: PassingSession

    @property
    def clip_frames(self) -> int:
        """Frames of a clip."""
        return int(self.session.model.clip_frames)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by class id."""
        return tuple(self.session.model.class_names)


def clips_recipe(model: VideoClassificationModel) -> Recipe:
    """The three functions around one model that takes clips: `(H, W, 3)` or `(frames, H, W, 3)` uint8 RGB."""

    def preprocess(images: Image, _: ModelPackage) -> tuple[Tensors, Fit]:
        clip = np.repeat(images[None], model.clip_frames, axis=0) if images.ndim == 3 else images
        return {"images": clip[None]}, Fit((1.0, 1.0), (0, 0), (clip.shape[1], clip.shape[2]))

    def postprocess(outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: Any) -> list[Any]:
        clips = [list(clip) for clip in outputs["images"]]
        found = model.classify_clips(clips, input_color_format="rgb", **params)
        if not isinstance(found, list) or len(found) != len(fits) or not all(map(_is_classification, found)):
            raise OutputInvalid(
                f"{package.weights.name} gave {found!r:.200} for {len(fits)} clips, "
                "expected a list of one ClassificationPrediction a clip"
            )
        return found

    return Recipe(preprocess, postprocess, lambda given, _: _checked_clips(model, given), turn=threading.Lock())


def _is_classification(found: Any) -> bool:
    return isinstance(found, ClassificationPrediction)


def _checked_clips(model: VideoClassificationModel, given: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(model, VisionModel):
        model.check_params(given)
    return _checked(model.classify_clips, given)


def called_recipe(model: Callable[..., Any]) -> Recipe:
    """The three functions around one callable model."""

    def preprocess(image: Image, _: ModelPackage) -> tuple[Tensors, Fit]:
        return {"images": image[None]}, Fit((1.0, 1.0), (0, 0), (image.shape[0], image.shape[1]))

    def postprocess(outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: Any) -> list[Any]:
        found = model(list(outputs["images"]), input_color_format="rgb", **params)
        if not isinstance(found, list) or len(found) != len(fits) or not all(hasattr(p, "to_record") for p in found):
            raise OutputInvalid(
                f"{package.weights.name} gave {found!r:.200} for {len(fits)} pictures, "
                "expected a list of one prediction a picture, each with to_record()"
            )
        return found

    return Recipe(preprocess, postprocess, lambda given, _: _checked(model, given), turn=threading.Lock())


def _checked(model: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The call's parameters, if the model's signature has them."""
    taken = inspect.signature(model).parameters.values()
    names = [p.name for p in taken if p.kind is p.KEYWORD_ONLY and p.name != "input_color_format"]
    is_open = any(p.kind is p.VAR_KEYWORD for p in taken)
    wanted = {name: value for name, value in given.items() if value is not None}
    if not is_open and (unknown := sorted(set(wanted) - set(names))):
        raise ParameterInvalid(f"unknown parameter {unknown[0]!r}; this model takes {', '.join(names) or 'none'}")
    return wanted
