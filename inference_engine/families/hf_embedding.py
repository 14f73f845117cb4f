"""Embeddings in Hugging Face format: `pooler_output (n, d)`, of CLIP and SigLIP in the space of their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.hf_embedder import make_embedder
from inference_engine.hf_inputs import prepared
from inference_engine.images import Fit
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import embedding
from inference_engine.tasks.embedding import Embedding, EmbeddingParams


def postprocess(
    outputs: Tensors,
    fits: Sequence[Fit],
    package: ModelPackage,  # noqa: ARG001 (as every family)
    params: EmbeddingParams,
) -> list[Embedding | EngineError]:
    """One vector an image, as the model gave it."""
    (vectors,) = outputs.values()
    if vectors.ndim != 2 or len(vectors) != len(fits):
        raise OutputInvalid(f"vectors of shape {vectors.shape}, expected ({len(fits)}, d)")
    return [
        Embedding(vector.astype(params.dtype), fit.original_hw)
        if np.isfinite(vector).all()
        else OutputInvalid("the model gave numbers that are not finite for this image")
        for vector, fit in zip(vectors, fits, strict=True)
    ]


def check_params(given: Mapping[str, Any], package: ModelPackage) -> EmbeddingParams:  # noqa: ARG001 (as every family)
    """The parameters of an embedder.

    Raises:
        ParameterInvalid: a value is wrong.
    """
    return embedding.embedding_params(given)


RECIPES = {embedding.TASK: Recipe(prepared, postprocess, check_params, model=make_embedder)}
