"""Embedders in Hugging Face format: vectors of pictures, and of texts where the architecture has a part for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inference_engine.embedders import ImageEmbedder
from inference_engine.errors import OutputInvalid
from inference_engine.hf_folder import settings_of
from inference_engine.model import Recipe
from inference_engine.negotiation import Decision
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Session
from inference_engine.tasks.parts.parameters import words

Vectors = npt.NDArray[np.float32]  # (n, d)


class TextSession(Session, Protocol):
    """A session that has the text part of its model too."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, `(m, d)`."""
        ...


class HfTextImageEmbedder(ImageEmbedder):
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


def make_embedder(
    package: ModelPackage,
    session: Any,
    recipe: Recipe,
    decision: Decision,
    parts: Mapping[str, Session],
) -> ImageEmbedder:
    """The model of a package: with texts where its architecture takes them."""
    kind = HfTextImageEmbedder if settings_of(package).row.texts else ImageEmbedder
    return kind(package, session, recipe, decision, parts)
