"""Readers of text: TrOCR, one line a picture; Donut, a whole page into marks that `structured` turns into data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference_engine.errors import EngineError, OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.families.hf_generative.pixels import page, whole
from inference_engine.generation import IS_FINITE, NONE, TOKENS, GenerationOptions, option_rows
from inference_engine.hf_generative import GenerativeSettings, settings_of
from inference_engine.hf_tokens import tokenizer_of
from inference_engine.images import Fit, Image
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks.prompting import PromptParams
from inference_engine.tasks.text_ocr import RecognizedText

DONUT = "donut"
_OPEN = re.compile(r"<s_([^>]*)>")


def written(row: Any) -> list[int]:
    """The tokens of one answer."""
    return [token for token in row.tolist() if token != NONE]


def prepare_line(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """One picture of one line."""
    settings = settings_of(package)
    options = GenerationOptions(_most_tokens(settings))
    return {**whole(image, settings.steps).tensors, **option_rows(options)}, _fit(image)


def read_line(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, _: Any
) -> list[RecognizedText | EngineError]:
    """Each row's tokens as its text."""
    tokenizer = tokenizer_of(package.weights.parent, package.digest)
    rows = zip(outputs[TOKENS], outputs[IS_FINITE].tolist(), fits, strict=True)
    return [
        RecognizedText(tokenizer.decode(written(row), skip_special_tokens=True).strip(), fit.original_hw)
        if is_finite
        else not_a_number()
        for row, is_finite, fit in rows
    ]


def not_a_number() -> OutputInvalid:
    """What a row ends with that was not written by numbers."""
    return OutputInvalid("the model gave scores that are not numbers for this image")


def prepare_page(image: Image, package: ModelPackage, params: PromptParams) -> tuple[Tensors, Fit]:
    """One picture of a page, and the prompt that the decoder goes on from."""
    settings = settings_of(package)
    tokenizer = tokenizer_of(package.weights.parent, package.digest)
    ids = np.asarray([tokenizer.encode(params.prompt, add_special_tokens=False).ids])
    most = max(1, min(params.max_new_tokens, _most_tokens(settings) - ids.shape[1]))
    options = GenerationOptions(most, params.seed if params.do_sample else None)
    pixels = page(image, settings.steps)
    return {**pixels.tensors, "decoder_input_ids": ids, **option_rows(options)}, _fit(image)


def structured(answer: str) -> dict[str, Any]:
    """Donut's marks as data: `<s_name>text</s_name>` a field, `<sep/>` between entries of a list.

    What stands outside of fields is dropped; text without any field is the field `text`. An opening mark without its
    end is dropped too, as where an answer was cut off (arXiv 2111.15664, section 3.3).

    Args:
        answer: with its marks, as `skip_special_tokens=False` leaves them.
    """
    found = _fields(answer)
    return found if isinstance(found, dict) else {"text": found}


def _fields(text: str) -> Any:
    found: dict[str, Any] = {}
    place = 0
    while (opened := _OPEN.search(text, place)) is not None:
        end = text.find(f"</s_{opened[1]}>", opened.end())
        place = opened.end()
        if end >= 0:
            entries = [_fields(entry) for entry in _entries(text[opened.end() : end])]
            found[opened[1]] = entries[0] if len(entries) == 1 else entries
            place = end + len(f"</s_{opened[1]}>")
    return found or re.sub(r"<[^>]*>", "", text).strip()


def _entries(text: str) -> list[str]:
    """Split at `<sep/>`, but not within a field."""
    entries, depth, start = [], 0, 0
    for mark in re.finditer(r"<(s_[^>]*|/s_[^>]*|sep/)>", text):
        if mark[1] == "sep/" and depth == 0:
            entries.append(text[start : mark.start()])
            start = mark.end()
        elif mark[1] != "sep/":
            depth += -1 if mark[1].startswith("/") else 1
    return [*entries, text[start:]]


def _fit(image: Image) -> Fit:
    return Fit((1.0, 1.0), (0, 0), (image.shape[0], image.shape[1]))


def _most_tokens(settings: GenerativeSettings) -> int:
    """Places that the decoder has, less the one of its first mark."""
    decoder = settings.config.get("decoder")
    places = decoder.get("max_position_embeddings") if isinstance(decoder, Mapping) else None
    if not isinstance(places, int) or places < 2:
        raise PackageInvalid(f"config.json: decoder.max_position_embeddings must be a count above 1, found {places!r}")
    return places - 1


def _no_params(given: Mapping[str, Any], _: ModelPackage) -> None:
    if named := [name for name, value in given.items() if value is not None]:
        raise ParameterInvalid(f"unknown parameter {named[0]!r}; a reader of lines takes none")


LINES = Recipe(prepare_line, read_line, _no_params, lambda image, package, _: prepare_line(image, package))
