"""The engine without queue and store: its own steps in one thread a core, and a line of JSON an image.

Between this and the tight loop lies what the engine does for every image beside the floor's work (the guard before the
decoder, checks of what came out, records that come back bit by bit); between this and the system lies the rest: the
files' rules and hashes, the queue, the store, the processes around them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inference_engine.auto import AutoModel
from inference_engine.decoding import decode_image
from inference_engine.sessions import SessionOptions
from inference_engine.tasks import write_prediction


class EngineLoop:
    """A model opened once as a worker opens it; `run` labels a list of files into a JSONL file."""

    def __init__(self, reference: str, cores: int, params: dict[str, float]) -> None:
        options = SessionOptions(threads=1, concurrency=cores)
        self._model = AutoModel.from_pretrained(reference, backend="onnx", options=options)
        self._params = self._model.check_params(params)
        self._cores = cores

    def run(self, files: Sequence[Path], output: Path) -> None:
        with output.open("w") as out, ThreadPoolExecutor(self._cores) as pool:
            out.writelines(pool.map(self._one, files))

    def _one(self, path: Path) -> str:
        tensors, fit = self._model.preprocess(decode_image(path.read_bytes()), self._params)
        (prediction,) = self._model.postprocess(self._model.forward(tensors), [fit], self._params)
        record, _ = write_prediction(prediction)
        return json.dumps({"file": str(path), **record}) + "\n"
