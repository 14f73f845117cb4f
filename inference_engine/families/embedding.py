"""Networks that turn a picture into a vector (ResNet, ViT, DINO, CLIP, SigLIP, Perception Encoder).

The vector is the output of two axes `(n, d)`; of several, the one that an exporter calls the pooled one. `(n, d, 1, 1)`
is a vector too (a ResNet's pooling layer). A network that gives a vector a token `(n, tokens, d)` says in
`model_config.json` which one counts: `pooling` is `cls`, the first, or `mean`. Vectors come as the network gives them.

CLIP's pictures are resized by Pillow's bicubic filter until the shorter side fits, and their middle is cut out
(arXiv 2103.00020; openai/CLIP, clip/clip.py, `_transform`): a package of architecture `clip` with `resize_mode`
`center-crop` means that. Every other package is fitted as its `inference_config.json` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.embedders import make_embedder, text_inputs
from inference_engine.errors import EngineError, OutputInvalid, PackageInvalid
from inference_engine.images import Fit, Image
from inference_engine.model import Recipe, fitted
from inference_engine.network_input import ResizeMode
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import embedding
from inference_engine.tasks.embedding import Embedding, EmbeddingParams

#: What exporters call the pooled vector (open_clip, transformers' ONNX exports, optimum 1.x), best first.
_POOLED = ("image_embeds", "image_embeddings", "pooler_output", "embeddings", "embedding")
POOLINGS = ("cls", "mean")
_BICUBIC = 3  # PIL.Image.Resampling
_Vectors = npt.NDArray[Any]  # (n, d)


def preprocess(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """Fit a picture as the package says; CLIP's with its own filter."""
    network = package.config.network_input
    if package.architecture != "clip" or network.resize_mode is not ResizeMode.CENTER_CROP:
        return fitted(image, package)
    tensors, fit = fitted(_shorter_side(image, network.hw), package)
    return tensors, replace(fit, original_hw=(image.shape[0], image.shape[1]))


def _shorter_side(image: Image, hw: tuple[int, int]) -> Image:
    """Resized so that it just covers the network's input."""
    from PIL import Image as Pictures

    height, width = image.shape[:2]
    scale = max(hw[0] / height, hw[1] / width)
    # Cut to whole pixels, as torchvision's Resize and transformers do it, and never below the input.
    size = max(int(width * scale + 1e-6), hw[1]), max(int(height * scale + 1e-6), hw[0])
    if size == (width, height):
        return image
    return np.asarray(Pictures.fromarray(image).resize(size, Pictures.Resampling(_BICUBIC)))


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: EmbeddingParams
) -> list[Embedding | EngineError]:
    """The vectors of a batch, image by image.

    Raises:
        OutputInvalid: no output is a vector an image.
    """
    vectors = pooled(outputs, package)
    if len(vectors) != len(fits):
        raise OutputInvalid(f"{len(vectors)} vectors for {len(fits)} images")
    return [_embedding(vector, fit, params) for vector, fit in zip(vectors, fits, strict=True)]


def pooled(outputs: Tensors, package: ModelPackage) -> _Vectors:
    """One vector an image, `(n, d)`.

    Raises:
        OutputInvalid: which of the outputs it is cannot be said.
    """
    flat = {name: array[:, :, 0, 0] for name, array in outputs.items() if array.shape[2:] == (1, 1)}
    flat |= {name: array for name, array in outputs.items() if array.ndim == 2}
    named = [flat[name] for name in _POOLED if name in flat]
    if named or len(flat) == 1:
        return (named or list(flat.values()))[0]
    tokens = [array for array in outputs.values() if array.ndim == 3]
    pooling = package.settings.get("pooling")
    if flat or not tokens or pooling not in POOLINGS:
        shapes = {name: array.shape for name, array in outputs.items()}
        raise OutputInvalid(
            f"outputs {shapes}, expected one vector an image; of a vector a token, `pooling` in model_config.json says "
            f"which counts: {' or '.join(POOLINGS)}, found {pooling!r}"
        )
    return tokens[0][:, 0] if pooling == "cls" else tokens[0].astype(np.float32).mean(axis=1)


def _embedding(vector: npt.NDArray[Any], fit: Fit, params: EmbeddingParams) -> Embedding | EngineError:
    with np.errstate(over="ignore"):
        kept = vector.astype(params.dtype)
    if not np.isfinite(kept).all():
        return OutputInvalid(f"the model gave a vector that is not of finite {params.dtype} numbers for this image")
    return Embedding(kept, fit.original_hw)


def check_params(given: Mapping[str, Any], package: ModelPackage) -> EmbeddingParams:
    """The precision of the vectors.

    Raises:
        ParameterInvalid: a name or value is wrong.
        PackageInvalid: the package's pooling is not known.
    """
    if (pooling := package.settings.get("pooling")) not in (None, *POOLINGS):
        raise PackageInvalid(f"{package.package_id}: pooling is {pooling!r}, expected {' or '.join(POOLINGS)}")
    return embedding.embedding_params(given)


RECIPES = {embedding.TASK: Recipe(preprocess, postprocess, check_params, model=make_embedder, part_inputs=text_inputs)}
