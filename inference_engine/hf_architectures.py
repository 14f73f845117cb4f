"""Which Hugging Face architectures run here: one row says how it is loaded, what it does and who decodes it.

A row is found by `model_type` and by the head, the part of the class's name behind `For` (`architectures` in
`config.json`); classifiers of images have one row for all model types. Each row is tested against transformers itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.tasks import (
    classification,
    depth,
    detection,
    embedding,
    instance_segmentation,
    keypoints,
    multi_label,
    open_vocabulary,
    panoptic_segmentation,
    semantic_segmentation,
    video_classification,
)

#: Names of what goes in: the picture, what of its canvas is picture, and words that a call names.
PIXELS, MASK, TEXTS = "pixel_values", "pixel_mask", "texts"
#: Beside patches: which of them are picture, and how many rows and columns of them there are.
PATCH_MASK, PATCH_GRID = "pixel_attention_mask", "spatial_shapes"

#: What a model that is told its task in words is told.
TASK_WORDS: Mapping[str, str] = {
    panoptic_segmentation.TASK: "panoptic",
    instance_segmentation.TASK: "instance",
    semantic_segmentation.TASK: "semantic",
}


@dataclass(frozen=True, slots=True)
class Row:
    """How one architecture runs.

    Attributes:
        auto_class: transformers' class that loads it.
        family: the module of `inference_engine.families` that decodes it.
        tasks: what it can do; the first one unless the package says another.
        outputs: what of its outputs the family reads.
        processor: its image processor where the folder does not name one.
        beside: names of what it takes beside the pixels; with a mask all pictures come on one canvas.
        texts: how words come in (`backends.parts.hf_texts`), those that a call names or that name the task; empty: it
            takes none.
        method: of the loaded model, what is called with the pixels.
        pixels: the model's own name of its pixels.
    """

    auto_class: str
    family: str
    tasks: tuple[str, ...]
    outputs: tuple[str, ...]
    processor: str
    beside: tuple[str, ...] = ()
    texts: str = ""
    method: str = "forward"
    pixels: str = PIXELS

    @property
    def is_masked(self) -> bool:
        """Whether it takes a mask of what is picture and what is padding."""
        return MASK in self.beside


def _detector(processor: str, *, is_masked: bool = False) -> Row:
    outputs, beside = ("logits", "pred_boxes"), (MASK,) if is_masked else ()
    return Row("AutoModelForObjectDetection", "hf_detection", (detection.TASK,), outputs, processor, beside)


def _zero_shot(processor: str, texts: str, outputs: tuple[str, str] = ("logits", "pred_boxes")) -> Row:
    beside = (MASK,) if processor == "GroundingDino" else ()
    tasks = (open_vocabulary.TASK,)
    return Row("AutoModelForZeroShotObjectDetection", "hf_zero_shot", tasks, outputs, processor, beside, texts)


def _semantic(processor: str) -> Row:
    tasks = (semantic_segmentation.TASK,)
    return Row("AutoModelForSemanticSegmentation", "hf_semantic", tasks, ("logits",), processor)


_UNIVERSAL = (instance_segmentation.TASK, semantic_segmentation.TASK, panoptic_segmentation.TASK)


def _universal(
    processor: str,
    auto_class: str = "AutoModelForUniversalSegmentation",
    tasks: tuple[str, ...] = _UNIVERSAL,
    texts: str = "",
) -> Row:
    outputs = ("class_queries_logits", "masks_queries_logits")
    return Row(auto_class, "hf_segmentation", tasks, outputs, processor, texts=texts)


def _depth(processor: str) -> Row:
    return Row("AutoModelForDepthEstimation", "hf_depth", (depth.TASK,), ("predicted_depth",), processor)


def _embedder(processor: str, texts: str = "") -> Row:
    method = "get_image_features" if texts else "forward"
    return Row(
        "AutoModel", "hf_embedding", (embedding.TASK,), ("pooler_output",), processor, texts=texts, method=method
    )


def _clips(processor: str, pixels: str = PIXELS) -> Row:
    tasks = (video_classification.TASK,)
    return Row(
        "AutoModelForVideoClassification", "hf_video_classification", tasks, ("logits",), processor, pixels=pixels
    )


_POSE = Row("AutoModelForPoseEstimation", "hf_pose", (keypoints.TASK,), ("heatmaps",), "VitPose")
_SIGLIP2 = replace(_embedder("Siglip2", "sentences"), beside=(PATCH_MASK, PATCH_GRID))

#: By model type and head.
ROWS: Mapping[tuple[str, str], Row] = {
    ("detr", "ObjectDetection"): _detector("Detr", is_masked=True),
    ("conditional_detr", "ObjectDetection"): _detector("ConditionalDetr", is_masked=True),
    ("deformable_detr", "ObjectDetection"): _detector("DeformableDetr", is_masked=True),
    ("lw_detr", "ObjectDetection"): _detector("DeformableDetr", is_masked=True),
    ("rf_detr", "ObjectDetection"): _detector("RfDetr"),
    ("rt_detr", "ObjectDetection"): _detector("RTDetr"),
    ("rt_detr_v2", "ObjectDetection"): _detector("RTDetr"),
    ("d_fine", "ObjectDetection"): _detector("RTDetr"),
    ("yolos", "ObjectDetection"): _detector("Yolos"),
    ("grounding-dino", "ObjectDetection"): _zero_shot("GroundingDino", "phrases"),
    ("owlvit", "ObjectDetection"): _zero_shot("OwlViT", "queries"),
    ("owlv2", "ObjectDetection"): _zero_shot("Owlv2", "queries"),
    ("omdet-turbo", "ObjectDetection"): _zero_shot("Detr", "task", ("decoder_class_logits", "decoder_coord_logits")),
    ("maskformer", "InstanceSegmentation"): _universal("MaskFormer", "AutoModelForInstanceSegmentation"),
    ("mask2former", "UniversalSegmentation"): _universal("Mask2Former"),
    ("oneformer", "UniversalSegmentation"): _universal("OneFormer", tasks=_UNIVERSAL[::-1], texts="spoken task"),
    ("eomt", "UniversalSegmentation"): _universal("Eomt", tasks=(_UNIVERSAL[0], _UNIVERSAL[2])),
    ("segformer", "SemanticSegmentation"): _semantic("Segformer"),
    ("beit", "SemanticSegmentation"): _semantic("Beit"),
    ("dpt", "SemanticSegmentation"): _semantic("DPT"),
    ("upernet", "SemanticSegmentation"): _semantic("Segformer"),
    ("depth_anything", "DepthEstimation"): _depth("DPT"),
    ("dpt", "DepthEstimation"): _depth("DPT"),
    ("glpn", "DepthEstimation"): _depth("GLPN"),
    ("zoedepth", "DepthEstimation"): _depth("ZoeDepth"),
    ("clip", ""): _embedder("CLIP", "sentences"),
    ("siglip", ""): _embedder("Siglip", "sentences"),
    ("siglip2", ""): _SIGLIP2,
    ("dinov2", ""): _embedder("Bit"),
    ("vitpose", "PoseEstimation"): _POSE,
    ("videomae", "VideoClassification"): _clips("VideoMAE"),
    ("vjepa2", "VideoClassification"): _clips("VJEPA2", "pixel_values_videos"),
}
#: Names of the architectures above; of classifiers any runs.
MODEL_TYPES = tuple(dict.fromkeys(model_type for model_type, _ in ROWS))
_CLASSIFIER = Row("AutoModelForImageClassification", "hf_classification", (classification.TASK,), ("logits",), "ViT")
#: `problem_type` of a classifier each of whose classes stands for itself (transformers, PreTrainedConfig).
_MULTI_LABEL = "multi_label_classification"


def row_of(config: Mapping[str, Any], where: str) -> Row:
    """The row of a `config.json`.

    Raises:
        PackageInvalid: the architecture is not known.
    """
    model_type, names = config.get("model_type"), config.get("architectures") or ()
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    # The last `For` before a capital: MaskFormer and Mask2Former have one in their own names.
    head = found[1] if (found := re.match(r".*For([A-Z]\w*)$", name)) else ""
    if re.fullmatch(r"ImageClassification(WithTeacher)?", head):
        tasks = (multi_label.TASK,) if config.get("problem_type") == _MULTI_LABEL else _CLASSIFIER.tasks
        return replace(_CLASSIFIER, tasks=tasks)
    rows = [row for (known, its_head), row in ROWS.items() if known == model_type and (its_head == head or not name)]
    if len(rows) == 1:
        return rows[0]
    raise PackageInvalid(
        f"{where}: model_type {model_type!r} is not one of {', '.join(MODEL_TYPES)} with a head that runs here, nor a "
        f"classifier of images; its class is {name!r}"
    )
