"""By architecture: how a picture and a prompt become one text, in which the picture is so many equal marks.

The texts are those of transformers' processors (transformers 5, `processing_<architecture>.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.families.hf_generative import florence, pixels
from inference_engine.families.hf_generative.pixels import Pixels
from inference_engine.hf_generative import GenerativeSettings
from inference_engine.hf_tokens import chat_text, special_texts
from inference_engine.images import Image
from inference_engine.packages import ModelPackage

Settings = GenerativeSettings
#: SmolVLM's marks around tiles (transformers 5, SmolVLMProcessor).
_FAKE, _GLOBAL = "<fake_token_around_image>", "<global-img>"


@dataclass(frozen=True, slots=True)
class Layout:
    """One architecture's way.

    Attributes:
        pixels: the picture as tensors.
        picture: the text that stands for the picture.
        ask: the whole text, in which the mark stands once in the picture's place.
        types: name of the tensor that says which tokens are picture; None where the model wants none.
        type_of_picture: its value there; PaliGemma gives the whole prompt 0.
        mark_key: key of `config.json` with the id of the mark in the picture's place.
    """

    pixels: Callable[[Image, Mapping[str, Any]], Pixels]
    picture: Callable[[Settings, Pixels, Any], str]
    ask: Callable[[ModelPackage, str, str], str]
    types: str | None = None
    type_of_picture: int = 1
    mark_key: str = "image_token"

    def mark(self, settings: Settings, tokenizer: Any) -> str:
        """The text of the mark in the picture's place."""
        return _text_of(settings, tokenizer, self.mark_key)

    def image_id(self, settings: Settings) -> int:
        """Id of the token that a part of the picture is put in for."""
        return _id_of(settings, "image_token")

    def adds_special(self, package: ModelPackage, text: str) -> bool:
        """Whether the tokenizer puts its own marks around the text; not where the text begins with one."""
        first = special_texts(package.weights.parent, package.digest).get("bos_token")
        return self.ask is _chat and not (first and text.startswith(first))


def _id_of(settings: Settings, name: str) -> int:
    """Files before transformers 5 call some ids `_index`."""
    found = settings.config.get(f"{name}_id", settings.config.get(f"{name}_index"))
    if not isinstance(found, int):
        raise PackageInvalid(f"config.json: {name}_id must be the id of a token, found {found!r}")
    return found


def _text_of(settings: Settings, tokenizer: Any, name: str) -> str:
    found = tokenizer.id_to_token(_id_of(settings, name))
    if found is None:
        raise PackageInvalid(f"tokenizer.json has no token {_id_of(settings, name)}, which config.json calls {name}_id")
    return str(found)


def _chat(package: ModelPackage, prompt: str, _: str) -> str:
    return chat_text(package.weights.parent, package.digest, prompt)


def _paligemma_text(package: ModelPackage, prompt: str, mark: str) -> str:
    return f"{mark}{_special(package, 'bos_token')}{prompt}\n"


def _florence_text(package: ModelPackage, prompt: str, mark: str) -> str:
    return f"{mark}{_special(package, 'bos_token')}{florence.worded(prompt)}{_special(package, 'eos_token')}"


def _special(package: ModelPackage, name: str) -> str:
    found = special_texts(package.weights.parent, package.digest).get(name)
    if found is None:
        raise PackageInvalid(f"{package.weights.parent}: tokenizer_config.json names no {name}")
    return found


def _square_patches(settings: Settings) -> int:
    """Patches of a square picture in the vision tower."""
    vision = settings.config["vision_config"]
    return int((vision["image_size"] // vision["patch_size"]) ** 2)


def _paligemma(settings: Settings, _: Pixels, tokenizer: Any) -> str:
    return _text_of(settings, tokenizer, "image_token") * _square_patches(settings)


def _florence(settings: Settings, _: Pixels, tokenizer: Any) -> str:
    count = settings.processor.get("image_seq_length", settings.steps.get("image_seq_length"))
    if not isinstance(count, int):
        raise PackageInvalid(f"preprocessor_config.json: image_seq_length must be a count of tokens, found {count!r}")
    return _text_of(settings, tokenizer, "image_token") * count


def _gemma(settings: Settings, _: Pixels, tokenizer: Any) -> str:
    begin, end = (_text_of(settings, tokenizer, name) for name in ("boi_token", "eoi_token"))
    inside = _text_of(settings, tokenizer, "image_token") * settings.config["mm_tokens_per_image"]
    return f"\n\n{begin}{inside}{end}\n\n"


def _internvl(settings: Settings, found: Pixels, tokenizer: Any) -> str:
    tiles = found.tensors["pixel_values"].shape[1]
    return f"<img>{_text_of(settings, tokenizer, 'image_token') * settings.config['image_seq_length'] * tiles}</img>"


def _smolvlm(settings: Settings, found: Pixels, tokenizer: Any) -> str:
    count = int(_square_patches(settings) / settings.config["scale_factor"] ** 2)
    inside = _text_of(settings, tokenizer, "image_token") * count
    lines = [
        "".join(f"{_FAKE}<row_{row + 1}_col_{column + 1}>{inside}" for column in range(found.columns)) + "\n"
        for row in range(found.rows)
    ]
    return "".join([*lines, "\n" if lines else "", _FAKE, _GLOBAL, inside, _FAKE])


def _patches(settings: Settings, found: Pixels, tokenizer: Any) -> str:
    return _text_of(settings, tokenizer, "image_token") * (found.rows * found.columns)


_QWEN = Layout(pixels.patches, _patches, _chat, "mm_token_type_ids")
_SMOLVLM = Layout(pixels.splits, _smolvlm, _chat)
LAYOUTS = {
    "florence2": Layout(pixels.whole, _florence, _florence_text),
    "paligemma": Layout(pixels.whole, _paligemma, _paligemma_text, "token_type_ids", type_of_picture=0),
    "gemma3": Layout(pixels.whole, _gemma, _chat, "token_type_ids", mark_key="boi_token"),
    "internvl": Layout(pixels.tiles, _internvl, _chat),
    "smolvlm": _SMOLVLM,
    "idefics3": _SMOLVLM,
    "qwen2_vl": _QWEN,
    "qwen2_5_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "glm_ocr": _QWEN,
}
