"""A model = a session (how to run) + a recipe (what goes in, what comes out)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from inference_engine.errors import SessionFailed
from inference_engine.images import Fit, Image, to_network
from inference_engine.inputs import as_rgb_images
from inference_engine.negotiation import Decision
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Array, Session, Tensors
from inference_engine.tasks.keypoints import Skeleton


@dataclass(frozen=True, slots=True)
class Recipe:
    """Three pure functions; the whole of what a family adds for one task.

    Attributes:
        preprocess: image `(H, W, 3)` uint8 RGB -> tensors `(1, ...)` by name, and how the image lies in them.
        postprocess: outputs of one batch, the fits of its images, params -> one prediction an image; an image whose
            outputs cannot be right has an `EngineError` in its place, so that its neighbours keep theirs.
        check_params: what a caller passed -> the task's params, or ParameterInvalid.
        prepare: instead of `preprocess`, for tasks of which the parameters go into the network too, such as a prompt;
            its tensors have the session's own names. Params are None where a model is only warmed up.
        model: makes the model, as `VisionModel` is made, where a task's behaviour has more methods; None: that.
        turn: whoever runs `postprocess` holds it meanwhile, and may wait for it: a lock, where threads must not meet.
    """

    preprocess: Callable[[Image, ModelPackage], tuple[Tensors, Fit]]
    postprocess: Callable[[Tensors, Sequence[Fit], ModelPackage, Any], list[Any]]
    check_params: Callable[[Mapping[str, Any], ModelPackage], Any]
    prepare: Callable[[Image, ModelPackage, Any], tuple[Tensors, Fit]] | None = None
    model: Callable[..., VisionModel] | None = None
    turn: AbstractContextManager[Any] = field(default_factory=nullcontext)


def fitted(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """Fit the picture into the network's input as the package's configuration says; what most families do."""
    pixels, fit = to_network(image, package.config.network_input)
    return {"images": pixels}, fit


def smoothly_fitted(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """The same, smoothing while shrinking whatever the configuration says: what detectors of the DETR kind saw."""
    pixels, fit = to_network(image, replace(package.config.network_input, antialias=True))
    return {"images": pixels}, fit


class VisionModel:
    """Behaviour shared by every task that maps an image to one prediction."""

    def __init__(
        self,
        package: ModelPackage,
        session: Session,
        recipe: Recipe,
        decision: Decision,
        parts: Mapping[str, Session] = MappingProxyType({}),
    ) -> None:
        self.package, self.session, self.decision, self.parts = package, session, decision, parts
        self._recipe = recipe
        self._input_names = [spec.name for spec in session.inputs]
        self.turn = recipe.turn

    @property
    def batch_size(self) -> int:
        """Images that a call joins: as measured, else as many as the session takes."""
        measured = self.decision.chosen.measurement if self.decision.chosen else None
        return min(measured.setting.batch, self.session.max_batch_size) if measured else self.session.max_batch_size

    @property
    def task(self) -> str:
        """The behaviour, such as `object-detection`."""
        return self.package.task

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by class id."""
        return self.package.class_names

    @property
    def skeletons(self) -> tuple[Skeleton, ...]:
        """Names and lines of key points by class id; empty for other tasks."""
        return self.package.skeletons

    def check_params(self, given: Mapping[str, Any]) -> Any:
        """Check a caller's parameters once; what comes back goes into `postprocess`."""
        return self._recipe.check_params(given, self.package)

    def preprocess(self, image: Image, params: Any = None) -> tuple[Tensors, Fit]:
        """One image `(H, W, 3)` uint8 RGB to the session's input tensors `(1, ...)`.

        Args:
            params: of `check_params`; None where the outputs are not looked at, as when a model is warmed up.

        Raises:
            SessionFailed: the network has more or fewer inputs than its family makes.
        """
        if self._recipe.prepare is not None:
            return self._recipe.prepare(image, self.package, params)
        tensors, fit = self._recipe.preprocess(image, self.package)
        if len(tensors) != len(self._input_names):
            raise SessionFailed(
                f"{self.package.weights}: inputs {', '.join(self._input_names)}; family {self.package.family} makes "
                f"{', '.join(tensors)}: the file is of another exporter, or of another family"
            )
        return dict(zip(self._input_names, tensors.values(), strict=True)), fit

    def forward(self, batch: Tensors) -> dict[str, Array]:
        """Run one batch of at most `session.max_batch_size` images."""
        return self.session.run(batch)

    def postprocess(self, outputs: Tensors, fits: Sequence[Fit], params: Any) -> list[Any]:
        """One prediction an image, or the `EngineError` that this image alone ended with."""
        return self._recipe.postprocess(outputs, fits, self.package, params)

    def __call__(self, images: Any, *, input_color_format: str | None = None, **params: Any) -> list[Any]:
        """Preprocess, run in batches that the session takes, postprocess.

        Args:
            images: one image or a list: ndarray `(H, W, 3)` or `(B, H, W, 3)` (BGR unless said), torch tensor
                `(3, H, W)` or `(B, 3, H, W)` (RGB unless said), PIL image, encoded bytes, or a path.
            input_color_format: `bgr` or `rgb`, for arrays and tensors.

        Returns:
            One prediction an image, in order.

        Raises:
            InputInvalid, ImageUnreadable, ParameterInvalid, SessionFailed, OutputInvalid.
        """
        checked = self.check_params(params)
        rgb = as_rgb_images(images, input_color_format)
        return self.answers((self.preprocess(image, checked) for image in rgb), checked)

    def answers(self, prepared: Iterable[tuple[Tensors, Fit]], params: Any) -> list[Any]:
        """Run prepared items in batches that the session takes, and postprocess: the second half of a call.

        Args:
            prepared: what `preprocess` gives, one an item.
            params: of `check_params`.

        Raises:
            SessionFailed, OutputInvalid.
        """
        predictions: dict[int, Any] = {}
        for batch in _batches(prepared, self.batch_size):
            outputs = self.forward(join_tensors([tensors for _, tensors, _ in batch]))
            with self.turn:
                found = self.postprocess(outputs, [fit for _, _, fit in batch], params)
            predictions |= zip((index for index, _, _ in batch), found, strict=True)
        ordered = [predictions[index] for index in range(len(predictions))]
        for prediction in ordered:
            if isinstance(prediction, Exception):
                raise prediction
        return ordered

    def close(self) -> None:
        """Free the session, and those of the package's parts."""
        for session in (self.session, *self.parts.values()):
            session.close()

    def __repr__(self) -> str:
        chosen = self.decision.chosen
        where = f"{chosen.backend} {chosen.quantization} on {chosen.device}" if chosen else "not negotiated"
        return f"<{self.package.model_id}: {self.package.task}, {len(self.class_names)} classes, {where}>"


def shapes_of(tensors: Tensors) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Name and shape of each of one image's tensors; only images of which these are equal may share a batch."""
    return tuple((name, value.shape) for name, value in tensors.items())


_Prepared = tuple[int, Tensors, Fit]


def _batches(prepared: Iterable[tuple[Tensors, Fit]], size: int) -> Iterator[list[_Prepared]]:
    """Images with their index, joined as they come, each with its like; what is not full comes last."""
    waiting: dict[Any, list[_Prepared]] = {}
    for index, (tensors, fit) in enumerate(prepared):
        batch = waiting.setdefault(shapes_of(tensors), [])
        batch.append((index, tensors, fit))
        if len(batch) == size:
            yield waiting.pop(shapes_of(tensors))
    yield from waiting.values()


def join_tensors(items: Sequence[Tensors]) -> dict[str, Array]:
    """Join tensors of single images `(1, ...)` into one batch `(n, ...)`; one image is passed on uncopied."""
    if len(items) == 1:
        return dict(items[0])
    return {name: np.concatenate([item[name] for item in items]) for name in items[0]}
