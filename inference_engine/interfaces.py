"""What models of one behaviour have in common, whatever family and backend they are.

Protocols: a custom model satisfies one by having its members, without inheriting from anything here. `isinstance` asks
for the members alone; behaviours that are called alike are told apart by `task`.

Every `images` is one image or a list of them, as `VisionModel.__call__` takes them: ndarray `(H, W, 3)` or
`(B, H, W, 3)` (BGR unless `input_color_format` says `rgb`), torch tensor `(3, H, W)` or `(B, 3, H, W)` (RGB unless
said), PIL image, encoded bytes, or a path. Results are in order, one an image; coordinates are pixels of the original
upright image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from inference_engine.tasks.action_recognition import ActionSpans
    from inference_engine.tasks.classification import ClassificationPrediction
    from inference_engine.tasks.depth import DepthMap
    from inference_engine.tasks.detection import Detections
    from inference_engine.tasks.embedding import Embedding
    from inference_engine.tasks.instance_segmentation import InstanceDetections
    from inference_engine.tasks.keypoints import KeyPoints, Skeleton
    from inference_engine.tasks.oriented import OrientedDetections
    from inference_engine.tasks.panoptic_segmentation import PanopticSegments
    from inference_engine.tasks.promptable_segmentation import PromptedMasks
    from inference_engine.tasks.prompting import PromptAnswer
    from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult
    from inference_engine.tasks.structured_ocr import StructuredText
    from inference_engine.tasks.text_ocr import RecognizedText

__all__ = [
    "ActionRecognitionModel",
    "ClassificationModel",
    "DepthEstimationModel",
    "ImageEmbeddingModel",
    "InstanceSegmentationModel",
    "KeyPointsDetectionModel",
    "MultiLabelClassificationModel",
    "ObjectDetectionModel",
    "OpenVocabularyObjectDetectionModel",
    "OrientedDetectionModel",
    "PanopticSegmentationModel",
    "PromptModel",
    "PromptableSegmentationModel",
    "SemanticSegmentationModel",
    "StructuredOCRModel",
    "TextImageEmbeddingModel",
    "TextOnlyOCRModel",
    "VideoClassificationModel",
]


class _Named(Protocol):
    @property
    def class_names(self) -> Sequence[str]:
        """By class id."""
        ...


@runtime_checkable
class ObjectDetectionModel(_Named, Protocol):
    """Finds boxes of known classes."""

    def __call__(self, images: Any, *, input_color_format: str | None = None, **params: Any) -> list[Detections]:
        """Boxes `(n, 4)`, class ids and confidences; `params` as `tasks.detection.DetectionParams`."""
        ...


@runtime_checkable
class OpenVocabularyObjectDetectionModel(Protocol):
    """Finds boxes of whatever the caller names; `class_id` is the index into `classes`."""

    def __call__(
        self, images: Any, *, classes: Sequence[str], input_color_format: str | None = None, **params: Any
    ) -> list[Detections]:
        """Boxes as a detector's; `params` as `tasks.open_vocabulary.OpenVocabularyParams`."""
        ...


@runtime_checkable
class InstanceSegmentationModel(_Named, Protocol):
    """Finds boxes of known classes with a mask each."""

    def __call__(
        self, images: Any, *, input_color_format: str | None = None, **params: Any
    ) -> list[InstanceDetections]:
        """Boxes as a detector's, masks run-length encoded at the image's size; `params` as a detector's."""
        ...


@runtime_checkable
class KeyPointsDetectionModel(_Named, Protocol):
    """Finds boxes of known classes with named points each."""

    @property
    def skeletons(self) -> Sequence[Skeleton]:
        """Names and lines of the points, one a class."""
        ...

    def __call__(self, images: Any, *, input_color_format: str | None = None, **params: Any) -> list[KeyPoints]:
        """Points `(n, k, 2)` with confidences `(n, k)`; `params` as `tasks.keypoints.KeyPointsParams`."""
        ...


@runtime_checkable
class OrientedDetectionModel(_Named, Protocol):
    """Finds turned boxes of known classes."""

    def __call__(
        self, images: Any, *, input_color_format: str | None = None, **params: Any
    ) -> list[OrientedDetections]:
        """Boxes `(n, 5)`: centre, size, angle in radians; `params` as a detector's."""
        ...


@runtime_checkable
class ClassificationModel(_Named, Protocol):
    """Says of which class an image is."""

    def __call__(
        self, images: Any, *, input_color_format: str | None = None, **params: Any
    ) -> list[ClassificationPrediction]:
        """Classes, the best first; one unless `max_classes` asks for more (`tasks.classification`)."""
        ...


@runtime_checkable
class MultiLabelClassificationModel(_Named, Protocol):
    """Says of each class whether an image has it."""

    def __call__(
        self, images: Any, *, input_color_format: str | None = None, **params: Any
    ) -> list[ClassificationPrediction]:
        """Classes at or above their thresholds, the best first (`tasks.multi_label`)."""
        ...


@runtime_checkable
class SemanticSegmentationModel(_Named, Protocol):
    """Gives every pixel a class."""

    def __call__(
        self, images: Any, *, input_color_format: str | None = None, **params: Any
    ) -> list[SemanticSegmentationResult]:
        """Class ids `(H, W)` of the image's size; `params` as `tasks.semantic_segmentation` has them."""
        ...


@runtime_checkable
class PanopticSegmentationModel(_Named, Protocol):
    """Divides the picture into segments: things one by one, stuff by its class."""

    def __call__(self, images: Any, *, input_color_format: str | None = None, **params: Any) -> list[PanopticSegments]:
        """Segments without a common pixel; `params` as `tasks.panoptic_segmentation.PanopticSegmentationParams`."""
        ...


@runtime_checkable
class DepthEstimationModel(Protocol):
    """Says how far every pixel is."""

    def __call__(self, images: Any, *, input_color_format: str | None = None) -> list[DepthMap]:
        """Depth `(H, W)` float32 of the image's size, in metres or relative, as each map says."""
        ...


@runtime_checkable
class StructuredOCRModel(_Named, Protocol):
    """Reads text and says where it stands; classes are kinds of parts."""

    def __call__(self, images: Any, *, input_color_format: str | None = None, **params: Any) -> list[StructuredText]:
        """The whole text, and its parts with boxes `(n, 4)`."""
        ...


@runtime_checkable
class TextOnlyOCRModel(Protocol):
    """Reads the text of a whole image."""

    def __call__(self, images: Any, *, input_color_format: str | None = None) -> list[RecognizedText]:
        """One text an image."""
        ...


@runtime_checkable
class ImageEmbeddingModel(Protocol):
    """Turns images into vectors, near to those of images that look alike."""

    def embed_images(self, images: Any, *, input_color_format: str | None = None) -> npt.NDArray[np.float32]:
        """`(n, d)`, not normalised; always two axes, for one image too."""
        ...

    def __call__(self, images: Any, *, input_color_format: str | None = None, **params: Any) -> list[Embedding]:
        """The same, one prediction an image; `params` as `tasks.embedding.EmbeddingParams`."""
        ...


@runtime_checkable
class TextImageEmbeddingModel(ImageEmbeddingModel, Protocol):
    """Turns images and texts into vectors of one space."""

    def embed_text(self, texts: str | Sequence[str]) -> npt.NDArray[np.float32]:
        """`(m, d)`, not normalised."""
        ...

    def compare_embeddings(
        self, x: npt.NDArray[np.floating[Any]], y: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.float32]:
        """Cosine similarities `(n, m)` of `(n, d)` and `(m, d)`; as `tasks.embedding.compare_embeddings`."""
        ...


@runtime_checkable
class PromptModel(Protocol):
    """Answers a text about an image: what every vision-language model can do."""

    def prompt(self, images: Any, prompt: str, *, input_color_format: str | None = None, **params: Any) -> list[str]:
        """One answer an image, in a batch too; `params` as `tasks.prompting.PromptParams`."""
        ...

    def __call__(
        self, images: Any, *, prompt: str, input_color_format: str | None = None, **params: Any
    ) -> list[PromptAnswer]:
        """The same as predictions, which say whether an answer was cut off."""
        ...


@runtime_checkable
class PromptableSegmentationModel(Protocol):
    """Cuts out what points and boxes show."""

    def embed_images(self, images: Any, *, input_color_format: str | None = None) -> list[Any]:
        """What `segment_images` takes instead of an image, so that many prompts cost one pass; its form is private."""
        ...

    def segment_images(
        self, images: Any, *, prompts: Sequence[Any], input_color_format: str | None = None, **params: Any
    ) -> list[PromptedMasks]:
        """Masks of each image's size.

        Args:
            images: or what `embed_images` gave.
            prompts: one an object, the same for every image (`tasks.promptable_segmentation.MaskPrompt`).
        """
        ...


@runtime_checkable
class ActionRecognitionModel(_Named, Protocol):
    """Says what happens in a video, and when."""

    def __call__(self, frames: Any, *, fps: float, input_color_format: str | None = None, **params: Any) -> ActionSpans:
        """Spans of one video; a span's end is the frame after its last.

        Args:
            frames: in order, `fps` of them a second.
        """
        ...


@runtime_checkable
class VideoClassificationModel(_Named, Protocol):
    """Says of which class a clip is: so many frames in a row."""

    @property
    def clip_frames(self) -> int:
        """Frames that a clip has."""
        ...

    def classify_clips(
        self, clips: Sequence[Any], *, input_color_format: str | None = None, **params: Any
    ) -> list[ClassificationPrediction]:
        """Classes of each clip, the best first; `params` as `tasks.classification.ClassificationParams`.

        Args:
            clips: each `clip_frames` images in order, all of one size; one prediction a clip.
        """
        ...
