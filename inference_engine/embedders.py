"""Models of task `embedding`: vectors of pictures, and of texts where the package has a part for them.

Such a package names two artefacts of one kind, `weights` and `parts.text`, and section `text` of `model_config.json`:
`tokenizer` (a `tokenizer.json` of the package, Hugging Face's format), `max_tokens` (of every text: shorter ones are
padded, longer ones cut), `padding_id`, and `inputs`, names of what an archive of PyTorch takes, which does not say it:
`input_ids`, where nothing is said, or that and `attention_mask`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.config_fields import check_known, positive, section, text
from inference_engine.errors import OutputInvalid, PackageInvalid
from inference_engine.model import Recipe, VisionModel
from inference_engine.negotiation import Decision
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Array, Session, TensorSpec
from inference_engine.tasks.embedding import compare_embeddings
from inference_engine.tasks.parts.parameters import words

#: Name of the package's part that takes texts.
TEXT = "text"
#: What an archive for texts may take.
_INPUTS = (["input_ids"], ["input_ids", "attention_mask"])
Vectors = npt.NDArray[np.float32]  # (n, d)


class ImageEmbedder(VisionModel):
    """Pictures as vectors."""

    def embed_images(self, images: Any, *, input_color_format: str | None = None) -> Vectors:
        """One vector a picture, `(n, d)` float32, as the network gives them: not normalised."""
        found = self(images, input_color_format=input_color_format)
        return np.stack([embedding.vector for embedding in found])

    def compare_embeddings(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Vectors:
        """Cosine similarities `(n, m)` of `(n, d)` and `(m, d)`; see `tasks.embedding.compare_embeddings`."""
        return compare_embeddings(x, y)


class TextImageEmbedder(ImageEmbedder):
    """Pictures and texts as vectors of one space."""

    def __init__(
        self,
        package: ModelPackage,
        session: Session,
        recipe: Recipe,
        decision: Decision,
        parts: Mapping[str, Session],
    ) -> None:
        super().__init__(package, session, recipe, decision, parts)
        self._tokenizer = open_tokenizer(package)

    def embed_text(self, texts: str | Sequence[str]) -> Vectors:
        """One vector a text, `(m, d)` float32, not normalised.

        Raises:
            ParameterInvalid: there is no text, or an empty one.
            OutputInvalid: the network gives no vector a text, or one that is not of finite numbers.
        """
        session, asked = self.parts[TEXT], words(texts, "texts")
        step = session.max_batch_size
        return np.concatenate([self._embed(session, asked[at : at + step]) for at in range(0, len(asked), step)])

    def _embed(self, session: Session, texts: Sequence[str]) -> Vectors:
        encoded = self._tokenizer.encode_batch(list(texts))
        ids, mask = ([getattr(one, name) for one in encoded] for name in ("ids", "attention_mask"))
        inputs: dict[str, Array] = {
            spec.name: np.asarray(mask if "mask" in spec.name else ids, dtype=spec.dtype) for spec in session.inputs
        }
        flat = [array for array in session.run(inputs).values() if array.ndim == 2]
        if len(flat) != 1 or len(flat[0]) != len(texts) or not np.isfinite(flat[0]).all():
            shapes = [array.shape for array in flat]
            raise OutputInvalid(f"texts gave {shapes}, expected one output ({len(texts)}, d) of finite numbers")
        return flat[0].astype(np.float32)


def make_embedder(
    package: ModelPackage,
    session: Session,
    recipe: Recipe,
    decision: Decision,
    parts: Mapping[str, Session],
) -> ImageEmbedder:
    """The model of a package: with texts where it has a part for them."""
    kind = TextImageEmbedder if TEXT in parts else ImageEmbedder
    return kind(package, session, recipe, decision, parts)


def text_inputs(package: ModelPackage, part: str) -> tuple[TensorSpec, ...]:
    """What the part for texts takes: tokens `(n, max_tokens)`, and which of them are no padding.

    Raises:
        PackageInvalid: section `text` is wrong, or the part is another.
    """
    if part != TEXT:
        raise PackageInvalid(f"{package.package_id}: part {part!r} is none of a model of embeddings, only {TEXT}")
    where, given = f"{package.package_id}: {TEXT}", _section(package)
    names = given.get("inputs", ["input_ids"])
    if names not in _INPUTS:
        raise PackageInvalid(f"{where}: inputs must be one of {', '.join(map(str, _INPUTS))}, found {names!r}")
    length = positive(given.get("max_tokens"), "max_tokens", where)
    return tuple(TensorSpec(name, (None, length), "int64") for name in names)


def _section(package: ModelPackage) -> Mapping[str, Any]:
    given = section(package.settings, TEXT, package.package_id)
    check_known(given, {"tokenizer", "max_tokens", "padding_id", "inputs"}, f"{package.package_id}: {TEXT}")
    return given


def open_tokenizer(package: ModelPackage) -> Any:
    """The package's tokenizer, set to give every text the same number of tokens.

    Raises:
        PackageInvalid: section `text` or the file is wrong.
        ImportError: `tokenizers` is not installed.
    """
    where = f"{package.package_id}: {TEXT}"
    given = _section(package)
    path = package.weights.parent / Path(text(given, "tokenizer", where)).name
    length, padding = positive(given.get("max_tokens"), "max_tokens", where), given.get("padding_id", 0)
    if not isinstance(padding, int) or isinstance(padding, bool) or padding < 0:
        raise PackageInvalid(f"{where}: padding_id must be the number of a token, found {padding!r}")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError('tokenizers is not installed: pip install "nightshift[text]"') from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise PackageInvalid(f"{path}: not read as a tokenizer ({error})") from error
    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(length=length, pad_id=padding)
    return tokenizer
