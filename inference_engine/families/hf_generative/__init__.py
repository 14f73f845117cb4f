"""Models that write about a picture, in Hugging Face format: florence2, paligemma, qwen, glm, smolvlm, internvl, gemma.

`layouts.py` says by architecture how a picture and a prompt become one row of tokens, `pixels.py` how pictures are cut.
A row is as long as its picture and prompt make it; only rows of equal shapes share a batch, so that nothing is padded
and an answer is the same alone and in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference_engine.errors import EngineError, PackageInvalid, ParameterInvalid
from inference_engine.families.hf_generative import reading
from inference_engine.families.hf_generative.layouts import LAYOUTS
from inference_engine.generation import IS_COMPLETE, IS_FINITE, TOKENS, GenerationOptions, option_rows
from inference_engine.generative_model import GenerativeModel
from inference_engine.hf_generative import settings_of
from inference_engine.hf_tokens import tokenizer_of
from inference_engine.images import Fit, Image
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import prompting, text_ocr
from inference_engine.tasks.prompting import PromptAnswer, PromptParams

#: What a model is asked while it is warmed up, and nobody reads.
_WARM_UP = PromptParams("?", max_new_tokens=1)


def prepare(image: Image, package: ModelPackage, params: PromptParams | None) -> tuple[Tensors, Fit]:
    """One picture and its prompt as one row.

    Raises:
        ParameterInvalid: the prompt itself has the mark that stands for a picture.
        PackageInvalid: the folder's tokenizer or template does not belong to its model.
    """
    asked = params or _WARM_UP
    layout, settings = LAYOUTS[package.architecture], settings_of(package)
    tokenizer = tokenizer_of(package.weights.parent, package.digest)
    pixels = layout.pixels(image, settings.steps)
    mark = layout.mark(settings, tokenizer)
    text = layout.ask(package, asked.prompt, mark)
    if text.count(mark) != 1:
        if mark in asked.prompt:
            raise ParameterInvalid(f"the prompt has {mark!r}, which stands for the picture: leave it out")
        raise PackageInvalid(f"{package.weights.parent}: the chat template leaves no place for the picture ({mark!r})")
    text = text.replace(mark, layout.picture(settings, pixels, tokenizer))
    ids = np.asarray([tokenizer.encode(text, add_special_tokens=layout.adds_special(package, text)).ids])
    tensors = {"input_ids": ids, "attention_mask": np.ones_like(ids), **pixels.tensors}
    if layout.types is not None:
        tensors[layout.types] = (ids == layout.image_id(settings)).astype(np.int64) * layout.type_of_picture
    options = GenerationOptions(asked.max_new_tokens, asked.seed if asked.do_sample else None)
    return {**tensors, **option_rows(options)}, Fit((1.0, 1.0), (0, 0), (image.shape[0], image.shape[1]))


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: PromptParams
) -> list[PromptAnswer | EngineError]:
    """Each row's tokens as text."""
    tokenizer = tokenizer_of(package.weights.parent, package.digest)
    found: list[PromptAnswer | EngineError] = []
    told = zip(outputs[TOKENS], outputs[IS_COMPLETE].tolist(), outputs[IS_FINITE].tolist(), fits, strict=True)
    for row, is_complete, is_finite, fit in told:
        if not is_finite:
            found.append(reading.not_a_number())
            continue
        text = tokenizer.decode(reading.written(row), skip_special_tokens=params.skip_special_tokens)
        found.append(PromptAnswer(text, params.prompt, fit.original_hw, is_complete))
    return found


def _prepare(image: Image, package: ModelPackage, params: PromptParams | None) -> tuple[Tensors, Fit]:
    if package.architecture == reading.DONUT:
        return reading.prepare_page(image, package, params or _WARM_UP)
    return prepare(image, package, params)


RECIPES = {
    prompting.TASK: Recipe(
        lambda image, package: _prepare(image, package, None),
        postprocess,
        lambda given, _: prompting.prompt_params(given),
        _prepare,
        GenerativeModel,
    ),
    text_ocr.TASK: reading.LINES,
}
