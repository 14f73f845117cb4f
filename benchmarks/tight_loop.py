"""The floor: what a good engineer writes by hand for one folder and one ONNX file, and nothing else.

It shares no code with nightshift. Two shapes, both measured, the better one is the floor: `streams` lets one thread a
core do everything for one image at a time; `batches` decodes on threads and runs batches of eight on all cores.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

CONFIDENCE, IOU, GREY = 0.4, 0.5, 114


class TightLoop:
    """A model opened once; `run` labels a list of files into a JSONL file."""

    def __init__(self, weights: Path, cores: int, shape: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if shape == "streams" else cores
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        spec = self._session.get_inputs()[0]
        self._input, (self._height, self._width) = spec.name, spec.shape[2:]
        self._batch = 1 if isinstance(spec.shape[0], int) or shape == "streams" else 8
        self._cores = cores
        self._work: Callable[[Sequence[Path], Any], None] = self._streams if shape == "streams" else self._batches

    def run(self, files: Sequence[Path], output: Path) -> None:
        with output.open("w") as out:
            self._work(files, out)

    def _streams(self, files: Sequence[Path], out: Any) -> None:
        def one(path: Path) -> str:
            pixels, fit = self._read(path)
            head = self._session.run(None, {self._input: pixels[None]})[0][0]
            return json.dumps({"file": str(path), **self._decode(head, fit)})

        with ThreadPoolExecutor(self._cores) as pool:
            for line in pool.map(one, files):
                out.write(line + "\n")

    def _batches(self, files: Sequence[Path], out: Any) -> None:
        ready: queue.Queue[Any] = queue.Queue(maxsize=4 * self._batch)

        def decode() -> None:
            with ThreadPoolExecutor(self._cores) as pool:
                for path, read in zip(files, pool.map(self._read, files), strict=True):
                    ready.put((path, *read))
            ready.put(None)

        threading.Thread(target=decode, daemon=True).start()
        batch = []
        while True:
            entry = ready.get()
            if entry is not None:
                batch.append(entry)
            if batch and (entry is None or len(batch) == self._batch):
                heads = self._session.run(None, {self._input: np.stack([pixels for _, pixels, _ in batch])})[0]
                for (path, _, fit), head in zip(batch, heads, strict=True):
                    out.write(json.dumps({"file": str(path), **self._decode(head, fit)}) + "\n")
                batch = []
            if entry is None:
                return

    def _read(self, path: Path) -> tuple[Any, tuple[float, int, int]]:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
        height, width = image.shape[:2]
        scale = min(self._height / height, self._width / width)
        new_h, new_w = round(height * scale), round(width * scale)
        top, left = (self._height - new_h) // 2, (self._width - new_w) // 2
        canvas = np.full((self._height, self._width, 3), GREY, np.uint8)
        canvas[top : top + new_h, left : left + new_w] = cv2.resize(image, (new_w, new_h))
        pixels = np.multiply(canvas.transpose(2, 0, 1), np.float32(1 / 255), dtype=np.float32)
        return pixels, (scale, left, top)

    @staticmethod
    def _decode(head: Any, fit: tuple[float, int, int]) -> dict[str, Any]:
        scores = head[4:]
        best = scores.max(axis=0)
        kept = np.flatnonzero(best >= CONFIDENCE)
        scale, left, top = fit
        boxes, best, classes = head[:4, kept].T, best[kept], scores[:, kept].argmax(axis=0)
        corners = boxes[:, :2] - boxes[:, 2:] / 2
        xywh = np.concatenate([corners, boxes[:, 2:]], axis=1)
        index = np.asarray(
            cv2.dnn.NMSBoxesBatched(xywh.tolist(), best.tolist(), classes.astype(np.int32).tolist(), 0.0, IOU),
            np.int64,
        ).reshape(-1)
        xywh[:, :2] -= (left, top)
        return {
            "xywh": (xywh[index] / scale).round(2).tolist(),
            "confidence": best[index].round(4).tolist(),
            "class_id": classes[index].tolist(),
        }
