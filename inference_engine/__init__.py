"""Load a vision model on the best backend this machine has, and run it on batches.

Nothing is imported until it is used: `import inference_engine` loads neither numpy nor a runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference_engine.lazy import lazy_names

if TYPE_CHECKING:
    from inference_engine.auto import AutoModel, explain
    from inference_engine.auto_pipeline import AutoModelPipeline
    from inference_engine.describing import (
        BackendDescription,
        Listing,
        ModelDescription,
        PackageDescription,
        RuntimeDescription,
        describe_model,
        describe_model_package,
        describe_runtime,
        list_backends,
    )
    from inference_engine.enums import BackendType, ColorFormat, Quantization
    from inference_engine.errors import (
        AccessPaused,
        AnswerInvalid,
        CacheUnusable,
        DownloadRefused,
        EngineError,
        FileDamaged,
        Forbidden,
        ImageUnreadable,
        InputInvalid,
        ModelNotFound,
        NoRunnableBackend,
        OutOfMemory,
        OutputInvalid,
        PackageInvalid,
        ParameterInvalid,
        PaymentRequired,
        ProviderError,
        ProviderUnavailable,
        SessionFailed,
        Unauthorized,
    )
    from inference_engine.interfaces import (
        ActionRecognitionModel,
        ClassificationModel,
        DepthEstimationModel,
        ImageEmbeddingModel,
        InstanceSegmentationModel,
        KeyPointsDetectionModel,
        MultiLabelClassificationModel,
        ObjectDetectionModel,
        OpenVocabularyObjectDetectionModel,
        OrientedDetectionModel,
        PanopticSegmentationModel,
        PromptableSegmentationModel,
        PromptModel,
        SemanticSegmentationModel,
        StructuredOCRModel,
        TextImageEmbeddingModel,
        TextOnlyOCRModel,
        VideoClassificationModel,
    )
    from inference_engine.machine import Machine, probe_machine
    from inference_engine.model import VisionModel
    from inference_engine.negotiation import (
        BACKEND_ORDER,
        Candidate,
        Decision,
        Reason,
    )
    from inference_engine.options import MeasuringOptions, SelectionOptions
    from inference_engine.pipelines.detect_then_classify import ClassifiedDetections
    from inference_engine.providers import ProviderOptions
    from inference_engine.sessions import SessionOptions
    from inference_engine.tasks.action_recognition import ActionSpans
    from inference_engine.tasks.classification import ClassificationPrediction
    from inference_engine.tasks.depth import DepthMap
    from inference_engine.tasks.detection import Detections
    from inference_engine.tasks.embedding import Embedding
    from inference_engine.tasks.instance_segmentation import InstanceDetections
    from inference_engine.tasks.keypoints import KeyPoints
    from inference_engine.tasks.oriented import OrientedDetections
    from inference_engine.tasks.panoptic_segmentation import PanopticSegments
    from inference_engine.tasks.promptable_segmentation import MaskPrompt, PromptedMasks
    from inference_engine.tasks.prompting import PromptAnswer
    from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult
    from inference_engine.tasks.structured_ocr import StructuredText
    from inference_engine.tasks.text_ocr import RecognizedText
    from inference_engine.transport import Limits
    from inference_engine.wishes import NmsFusion

_HOMES = {
    "auto": ("AutoModel", "explain"),
    "auto_pipeline": ("AutoModelPipeline",),
    "describing": (
        "BackendDescription",
        "Listing",
        "ModelDescription",
        "PackageDescription",
        "RuntimeDescription",
        "describe_model",
        "describe_model_package",
        "describe_runtime",
        "list_backends",
    ),
    "enums": ("BackendType", "ColorFormat", "Quantization"),
    "errors": (
        "AccessPaused",
        "AnswerInvalid",
        "CacheUnusable",
        "DownloadRefused",
        "EngineError",
        "FileDamaged",
        "Forbidden",
        "ImageUnreadable",
        "InputInvalid",
        "ModelNotFound",
        "NoRunnableBackend",
        "OutOfMemory",
        "OutputInvalid",
        "PackageInvalid",
        "ParameterInvalid",
        "PaymentRequired",
        "ProviderError",
        "ProviderUnavailable",
        "SessionFailed",
        "Unauthorized",
    ),
    "interfaces": (
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
    ),
    "machine": ("Machine", "probe_machine"),
    "model": ("VisionModel",),
    "negotiation": ("BACKEND_ORDER", "Candidate", "Decision", "Reason"),
    "options": ("MeasuringOptions", "SelectionOptions"),
    "pipelines.detect_then_classify": ("ClassifiedDetections",),
    "providers": ("ProviderOptions",),
    "sessions": ("SessionOptions",),
    "tasks.action_recognition": ("ActionSpans",),
    "tasks.classification": ("ClassificationPrediction",),
    "tasks.depth": ("DepthMap",),
    "tasks.detection": ("Detections",),
    "tasks.embedding": ("Embedding",),
    "tasks.instance_segmentation": ("InstanceDetections",),
    "tasks.keypoints": ("KeyPoints",),
    "tasks.oriented": ("OrientedDetections",),
    "tasks.panoptic_segmentation": ("PanopticSegments",),
    "tasks.promptable_segmentation": ("MaskPrompt", "PromptedMasks"),
    "tasks.prompting": ("PromptAnswer",),
    "tasks.semantic_segmentation": ("SemanticSegmentationResult",),
    "tasks.structured_ocr": ("StructuredText",),
    "tasks.text_ocr": ("RecognizedText",),
    "transport": ("Limits",),
    "wishes": ("NmsFusion",),
}

__all__ = [
    "BACKEND_ORDER",
    "AccessPaused",
    "ActionRecognitionModel",
    "ActionSpans",
    "AnswerInvalid",
    "AutoModel",
    "AutoModelPipeline",
    "BackendDescription",
    "BackendType",
    "CacheUnusable",
    "Candidate",
    "ClassificationModel",
    "ClassificationPrediction",
    "ClassifiedDetections",
    "ColorFormat",
    "Decision",
    "DepthEstimationModel",
    "DepthMap",
    "Detections",
    "DownloadRefused",
    "Embedding",
    "EngineError",
    "FileDamaged",
    "Forbidden",
    "ImageEmbeddingModel",
    "ImageUnreadable",
    "InputInvalid",
    "InstanceDetections",
    "InstanceSegmentationModel",
    "KeyPoints",
    "KeyPointsDetectionModel",
    "Limits",
    "Listing",
    "Machine",
    "MaskPrompt",
    "MeasuringOptions",
    "ModelDescription",
    "ModelNotFound",
    "MultiLabelClassificationModel",
    "NmsFusion",
    "NoRunnableBackend",
    "ObjectDetectionModel",
    "OpenVocabularyObjectDetectionModel",
    "OrientedDetectionModel",
    "OrientedDetections",
    "OutOfMemory",
    "OutputInvalid",
    "PackageDescription",
    "PackageInvalid",
    "PanopticSegmentationModel",
    "PanopticSegments",
    "ParameterInvalid",
    "PaymentRequired",
    "PromptAnswer",
    "PromptModel",
    "PromptableSegmentationModel",
    "PromptedMasks",
    "ProviderError",
    "ProviderOptions",
    "ProviderUnavailable",
    "Quantization",
    "Reason",
    "RecognizedText",
    "RuntimeDescription",
    "SelectionOptions",
    "SemanticSegmentationModel",
    "SemanticSegmentationResult",
    "SessionFailed",
    "SessionOptions",
    "StructuredOCRModel",
    "StructuredText",
    "TextImageEmbeddingModel",
    "TextOnlyOCRModel",
    "Unauthorized",
    "VideoClassificationModel",
    "VisionModel",
    "describe_model",
    "describe_model_package",
    "describe_runtime",
    "explain",
    "list_backends",
    "probe_machine",
]

_find = lazy_names(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    return _find(name)


def __dir__() -> list[str]:
    return __all__
