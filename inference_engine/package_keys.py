"""The keys of `model_config.json`: what each is for, and what is said of one that nobody reads.

Keys of `inference_config.json` change results, so an unknown one is refused. This file says what a package *is*, and
tools write their own notes into it: an unknown key is kept and warned of, with the nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

#: Keys that are read here, with what they say.
KNOWN_KEYS = {
    "schema_version": "of this file; 1",
    "model_id": "name of the model; else the folder above",
    "package_id": "name of the package; else its folder",
    "model_architecture": "what the network is, such as yolov8; says the family",
    "family": "who decodes it, where the architecture does not say it",
    "model_variant": "size of the architecture, for people",
    "task_type": "behaviour, such as object-detection",
    "backend_type": "kind of the artefact: onnx, torch, torch-script, torch-export, trt, hf",
    "quantization": "precision of the arithmetic: fp32, fp16, bf16, int8 or unknown",
    "weights": "file name of the artefact; else the usual one of its kind",
    "parts": "file names of artefacts beside the weights, by what they are for: text",
    "text": "of an embedder of texts: tokenizer (file), max_tokens, padding_id",
    "pooling": "of an embedder that gives a vector a token: cls (the first) or mean",
    "depth_unit": "what depth says: metres or relative-inverse (larger is nearer); the latter if absent",
    "module": "eager module that safetensors fill: name and args",
    "onnx": "opset of an ONNX artefact",
    "files": "sha256 and bytes by file name",
    "model_module": "Python file of a package with its own code",
    "model_class": "class of that file",
    "model_initialization": "keywords that the class is made with",
    "requires": "what the artefact needs of the machine",
    "recommended_parameters": "thresholds that its maker recommends",
    "manifest": "what a provider said of the artefact",
    "features": "what a provider says was built into the artefact",
}
#: Keys that the peer library's cache writes beside those, with what becomes of them here (its 0.39).
PEERS_KEYS = {
    "model_package_id": "package_id, where that is absent",
    "resolved_files": "not read: names in its own cache",
    "trusted_source": "not read: trust is the caller's",
    "model_dependencies": "not read: other models that its own cache has fetched",
    "model_features": "not read: what was built in stands in inference_config.json",
}


def key_warnings(config: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """A sentence for each key that nobody reads."""
    known = [*KNOWN_KEYS, *PEERS_KEYS]
    return tuple(_warning(str(key), known, where) for key in sorted(config, key=str) if key not in known)


def _warning(key: str, known: list[str], where: str) -> str:
    nearest = difflib.get_close_matches(key, known, n=1)
    meant = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"{where}: nothing reads the key {key!r}{meant}"
