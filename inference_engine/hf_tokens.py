"""Text of a Hugging Face folder as token ids and back: `tokenizer.json`, and the folder's chat template.

A template is Jinja that came with the model: it is rendered in Jinja's sandbox, where it can only make text.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.package_files import read_object

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
#: Where a folder's template stands, best first; in JSON files below the key of that name.
TEMPLATES = ("chat_template.jinja", "chat_template.json", TOKENIZER_CONFIG)
_TEMPLATE_KEY = "chat_template"


@lru_cache(maxsize=8)
def tokenizer_of(folder: Path, digest: str) -> Any:  # noqa: ARG001 (a folder that changed is read again)
    """The `tokenizers.Tokenizer` of a folder; safe to share between threads.

    Args:
        digest: of the package.

    Raises:
        PackageInvalid: there is none, it cannot be read, or `tokenizers` is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise PackageInvalid(f'{folder} needs `tokenizers`: pip install "nightshift[hf]"') from error
    try:
        return Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:
        raise PackageInvalid(f"{folder / TOKENIZER} is not read by tokenizers: {error}") from error


@lru_cache(maxsize=8)
def special_texts(folder: Path, digest: str) -> Mapping[str, str]:  # noqa: ARG001 (as tokenizer_of)
    """The texts of the marks `bos_token`, `eos_token` ... that `tokenizer_config.json` names."""
    path = folder / TOKENIZER_CONFIG
    found = read_object(path) if path.is_file() else {}
    marks = {name: value for name, value in found.items() if name.endswith("_token")}
    # Older files write a mark as an object with its text and flags.
    texts = {name: value.get("content") if isinstance(value, Mapping) else value for name, value in marks.items()}
    return {name: value for name, value in texts.items() if isinstance(value, str)}


def chat_text(folder: Path, digest: str, prompt: str) -> str:
    """One picture and a prompt as the conversation that the model was trained on, its answer to begin.

    Raises:
        PackageInvalid: the folder has no template, or it fails.
    """
    template = _template(folder, digest)
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    messages = [{"role": "user", "content": content}]
    try:
        text: str = template.render(messages=messages, add_generation_prompt=True, **special_texts(folder, digest))
    except Exception as error:
        raise PackageInvalid(f"{folder}: its chat template raised {type(error).__name__}: {error}") from error
    return text


@lru_cache(maxsize=8)
def _template(folder: Path, digest: str) -> Any:  # noqa: ARG001 (as tokenizer_of)
    try:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise PackageInvalid(f'{folder} needs `jinja2`: pip install "nightshift[hf]"') from error
    text = next(filter(None, (_template_text(folder / name) for name in TEMPLATES)), None)
    if text is None:
        raise PackageInvalid(
            f"{folder}: no chat template in {', '.join(TEMPLATES)}; the model's own prompt is not known"
        )
    # Templates are written for these settings and these two names (transformers 5, utils.chat_template_utils).
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    environment.filters["tojson"] = _as_json
    return environment.from_string(text)


def _template_text(path: Path) -> str | None:
    if not path.is_file():
        return None
    if path.suffix == ".jinja":
        return path.read_text("utf-8")
    found = read_object(path).get(_TEMPLATE_KEY)
    return found if isinstance(found, str) else None


def _refuse(message: str) -> None:
    raise ValueError(message)


def _as_json(value: Any, indent: int | None = None) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=indent)
