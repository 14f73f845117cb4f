"""Measure the packages on held-out pages with faster-coco-eval: mAP50, mAP50-95, AP50 of each class, time of an image.

Run `python models/digits/evaluate.py`; with `--card` it renews the model card's table. It has its own letterbox and
suppression, so that it also checks the engine's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from nightshift.pages import CLASS_NAMES, write_pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Network = Callable[[Floats], Floats]

HERE = Path(__file__).parent
PACKAGES = ("torch-fp32", "onnx-fp32", "onnx-int8")
SIDE = 320
#: The model card's table stands between these.
CARD_MARKS = ("<!-- scores -->\n", "<!-- /scores -->")
#: Seed of the pages that the model card's numbers are measured on; training draws from other scans and other seeds.
HELD_OUT_SEED = 1000


@dataclass(frozen=True, slots=True)
class Score:
    """What the card reports of a package: AP of 0 to 1, `ap50` by class, milliseconds of the network for an image."""

    map50: float
    map50_95: float
    ap50: tuple[float, ...]
    forward_ms: float


def letterbox(image: NDArray[np.uint8]) -> tuple[Floats, tuple[float, float, int, int]]:
    """Fit `(H, W, 3)` RGB into the square; give `(3, 320, 320)` of 0 to 1, and scale x, scale y, left, top."""
    height, width = image.shape[:2]
    scale = min(SIDE / height, SIDE / width)
    new_w, new_h = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (SIDE - new_w) // 2, (SIDE - new_h) // 2
    canvas = np.full((SIDE, SIDE, 3), 114, np.uint8)
    canvas[top : top + new_h, left : left + new_w] = cv2.resize(image, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
    return canvas.transpose(2, 0, 1).astype(np.float32) / 255, (new_w / width, new_h / height, left, top)


def open_torch(folder: Path, threads: int = 1) -> Network:
    """Open a package of a state dict."""
    import torch
    from safetensors.torch import load_file

    from inference_engine.backends.modules import build_module

    config = json.loads((folder / "model_config.json").read_text(encoding="utf-8"))
    model = build_module(config["module"]["name"], config["module"]["args"]).eval()
    model.load_state_dict(load_file(folder / config["weights"]))
    torch.set_num_threads(threads)

    def run(images: Floats) -> Floats:
        with torch.inference_mode():
            output: Floats = model(torch.from_numpy(images)).numpy()
        return output

    return run


def open_onnx(folder: Path, threads: int = 1) -> Network:
    """Open an ONNX package on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["output0"], {"images": images})[0]


def open_package(folder: Path, threads: int = 1) -> Network:
    """Open either kind: a function from `(n, 3, 320, 320)` to `(n, 14, anchors)`."""
    return open_torch(folder, threads) if (folder / "model.safetensors").is_file() else open_onnx(folder, threads)


def detect(raw: Floats, fit: tuple[float, float, int, int], confidence: float, iou: float = 0.5) -> list[list[float]]:
    """Decode one image's `(14, anchors)`: rows `x, y, w, h, score, class_id` in the page's pixels, at most 300."""
    anchors, classes = np.nonzero(np.greater(raw[4:].T, confidence))
    score = raw[4 + classes, anchors]
    scale_x, scale_y, left, top = fit
    w, h = raw[2, anchors] / scale_x, raw[3, anchors] / scale_y
    x, y = (raw[0, anchors] - left) / scale_x - w / 2, (raw[1, anchors] - top) / scale_y - h / 2
    rows = np.column_stack([x, y, w, h])
    keep = cv2.dnn.NMSBoxesBatched(rows.tolist(), score.tolist(), classes.tolist(), confidence, iou)
    order = sorted(np.asarray(keep, np.int64).reshape(-1).tolist(), key=lambda i: -score[i])[:300]
    return [[*rows[i].tolist(), float(score[i]), int(classes[i])] for i in order]


def results_of(network: Network, truth: Path, confidence: float) -> tuple[list[dict[str, Any]], float]:
    """Detect on every page: COCO results, and the mean milliseconds of the network alone."""
    results: list[dict[str, Any]] = []
    images = json.loads(truth.read_text(encoding="utf-8"))["images"]
    seconds = 0.0
    for entry in images:
        image = cv2.imread(str(truth.parent / entry["file_name"]))[..., ::-1]
        tensor, fit = letterbox(np.ascontiguousarray(image))
        begin = time.perf_counter()
        raw = network(tensor[None])
        seconds += time.perf_counter() - begin
        for *box, score, class_id in detect(raw[0], fit, confidence):
            found = {"image_id": entry["id"], "category_id": int(class_id) + 1, "bbox": box, "score": score}
            results.append(found)
    return results, 1000 * seconds / len(images)


def judge(truth: Path, results: list[dict[str, Any]], forward_ms: float) -> Score:
    """Compare results with the truth."""
    from faster_coco_eval import COCO, COCOeval_faster

    coco = COCO(str(truth))
    judged = COCOeval_faster(coco, coco.loadRes(results), "bbox", print_function=lambda *_: None)
    judged.evaluate()
    judged.accumulate()
    precision = judged.eval["precision"][:, :, :, 0, -1]  # (iou thresholds, recalls, classes), all areas, 100 boxes
    if (precision < 0).any():
        raise SystemExit("expected every class on the pages; evaluate on more pages")
    ap50 = tuple(float(x) for x in precision[0].mean(axis=0))
    return Score(float(precision[0].mean()), float(precision.mean()), ap50, forward_ms)


def table(scores: dict[str, Score]) -> str:
    """Give the model card's table in Markdown."""
    lines = ["| | " + " | ".join(scores) + " |", "| --- |" + " ---: |" * len(scores)]
    rows: list[tuple[str, Callable[[Score], str]]] = [
        ("mAP50", lambda s: f"**{s.map50:.4f}**"),
        ("mAP50-95", lambda s: f"{s.map50_95:.4f}"),
        *((f"AP50 of {name}", lambda s, i=i: f"{s.ap50[i]:.3f}") for i, name in enumerate(CLASS_NAMES)),
        ("network, ms an image, one thread", lambda s: f"{s.forward_ms:.1f}"),
    ]
    lines += [f"| {name} | " + " | ".join(show(s) for s in scores.values()) + " |" for name, show in rows]
    return "\n".join(lines)


def renew_card(scores: dict[str, Score], card: Path) -> None:
    """Put the table in its place in the model card."""
    begin, end = CARD_MARKS
    before, rest = card.read_text(encoding="utf-8").split(begin)
    card.write_text(f"{before}{begin}{table(scores)}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def main() -> None:
    """Draw the held-out pages, measure each package, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--confidence", type=float, default=0.01, help="boxes below it are not judged")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--packages", type=Path, default=HERE, help="folder that holds the three packages")
    parser.add_argument("--card", action="store_true", help="write the table into the model card")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    scores: dict[str, Score] = {}
    with tempfile.TemporaryDirectory() as folder:
        truth = write_pages(Path(folder), args.pages, "held_out", args.seed)
        for name in PACKAGES:
            network = open_package(args.packages / name, args.threads)
            network(np.zeros((1, 3, SIDE, SIDE), np.float32))
            scores[name] = judge(truth, *results_of(network, truth, args.confidence))
    print(table(scores))
    if args.card:
        renew_card(scores, HERE / "README.md")


if __name__ == "__main__":
    main()
