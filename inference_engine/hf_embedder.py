"""Embedders in Hugging Face format: vectors of pictures, and of texts where the architecture has a part for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inference_engine.errors import OutputInvalid
from inference_engine.hf_folder import settings_of
from inference_engine.model import Recipe, VisionModel
from inference_engine.negotiation import Decision
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Session
from inference_engine.tasks.embedding import compare_embeddings
from inference_engine.tasks.parts.parameters import words

Vectors = npt.NDArray[np.float32]  # (n, d)


class TextSession(Session, Protocol):
    """A session that has the text part of its model too."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, `(m, d)`."""
        ...


class HfImageEmbedder(VisionModel):
    """Pictures as vectors."""

    def embed_images(self, images: Any, *, input_color_format: str | None = None) -> Vectors:
        """One vector a picture, `(n, d)`, as the network gives them: not normalised."""
        found = self(images, input_color_format=input_color_format)
        return np.stack([embedding.vector for embedding in found])

    def compare_embeddings(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Vectors:
        """Cosine similarities `(n, m)` of `(n, d)` and `(m, d)`; see `tasks.embedding.compare_embeddings`."""
        return compare_embeddings(x, y)


class HfTextImageEmbedder(HfImageEmbedder):
    """Pictures and texts as vectors of one space."""

    session: TextSession

    def embed_text(self, texts: str | Sequence[str]) -> Vectors:
        """One vector a text, `(m, d)`, not normalised.

        Raises:
            ParameterInvalid: there is no text, or an empty one.
            OutputInvalid: the network gives numbers that are not finite.
        """
        found = self.session.embed_texts(words(texts, "texts"))
        if not np.isfinite(found).all():
            raise OutputInvalid("the model gave numbers that are not finite for these texts")
        return found


def make_embedder(package: ModelPackage, session: Any, recipe: Recipe, decision: Decision) -> HfImageEmbedder:
    """The model of a package: with texts where its architecture takes them."""
    kind = HfTextImageEmbedder if settings_of(package).row.texts else HfImageEmbedder
    return kind(package, session, recipe, decision)
