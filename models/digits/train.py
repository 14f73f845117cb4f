"""Train the digit detector on pages of the train scans; with its defaults, this reproduces the weights.

Run `python models/digits/train.py`; it writes `models/digits/torch-fp32/model.safetensors`.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from loss import Truth, detection_loss
from safetensors.torch import save_file
from torch import Tensor, nn

from inference_engine.backends.modules import build_module
from inference_engine.backends.modules.tinydet import boxes
from nightshift.pages import CLASS_NAMES, Page, load_scans, make_page

HERE = Path(__file__).parent
#: Longer side of the network's input, and of the pages as they are kept.
SIDE = 320
#: Most of the steps see pages with little grey around them, which is a fifth cheaper; the last see what inference sees.
CHEAP_HEIGHT, CHEAP_PART = 256, 0.85
MODULE_ARGS = {"num_classes": len(CLASS_NAMES), "width": 16, "depth": 2}


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train: counts of pages, steps, pages a step; highest learning rate; seed; processor threads."""

    pages: int
    steps: int
    batch: int
    rate: float
    seed: int
    threads: int


def shrink(page: Page) -> Page:
    """Give the page with its longer side at 320 pixels."""
    height, width = page.image.shape[:2]
    scale = SIDE / max(height, width)
    image = cv2.resize(page.image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    return Page(image, page.xyxy * np.float32(scale), page.class_id)


def draw_pages(plan: Plan) -> list[Page]:
    """Draw all pages of the training, small."""
    scans = load_scans("train")
    return [shrink(make_page(scans, np.random.default_rng([plan.seed, 7, i]))) for i in range(plan.pages)]


def batch_of(pages: list[Page], height: int, rng: np.random.Generator) -> tuple[Tensor, Truth]:
    """Set pages on grey at a random height, each with its colours mixed and its brightness changed."""
    images = np.full((len(pages), height, SIDE, 3), 114, np.float32)
    most = max(len(page.xyxy) for page in pages)
    xyxy, class_id = np.zeros((len(pages), most, 4), np.float32), np.zeros((len(pages), most), np.int64)
    valid = np.zeros((len(pages), most), bool)
    for i, page in enumerate(pages):
        rows, count = page.image.shape[0], len(page.xyxy)
        top = int(rng.integers(0, height - rows + 1))
        colours = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
        gain = rng.uniform(0.8, 1.15) * rng.uniform(0.93, 1.07, 3).astype(np.float32)
        images[i, top : top + rows] = np.clip(page.image[..., colours] * gain, 0, 255)
        xyxy[i, :count] = page.xyxy + np.float32([0, top, 0, top])
        class_id[i, :count], valid[i, :count] = page.class_id, True
    tensor = torch.from_numpy(images / 255).permute(0, 3, 1, 2)
    return tensor, Truth(torch.from_numpy(xyxy), torch.from_numpy(class_id), torch.from_numpy(valid))


def rate_at(step: int, plan: Plan) -> float:
    """Give the learning rate: up over 200 steps, then down along a cosine."""
    return plan.rate * min(1.0, (step + 1) / 200) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / plan.steps)) / 2)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int) -> None:
    """Let the averaged weights follow the trained ones, faster in the beginning; statistics of batch norm too."""
    keep = min(0.998, (1 + step) / (20 + step))
    for slow, fast in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


def optimizer_of(model: nn.Module, rate: float) -> torch.optim.AdamW:
    """Decay the weights of convolutions only."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": kernels, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0.0}], lr=rate
    )


def train(plan: Plan, pages: list[Page]) -> nn.Module:
    """Train, and give the averaged model in evaluation mode."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng([plan.seed, 11])
    model = build_module("tinydet", MODULE_ARGS).to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval()
    optimizer = optimizer_of(model, plan.rate)
    begin, seen, queue = time.perf_counter(), 0.0, np.empty(0, np.int64)
    for step in range(plan.steps):
        if len(queue) < plan.batch:
            queue = rng.permutation(len(pages))
        picks, queue = queue[: plan.batch], queue[plan.batch :]
        height = CHEAP_HEIGHT if step < CHEAP_PART * plan.steps else SIDE
        images, truth = batch_of([pages[i] for i in picks], height, rng)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, plan)
        rows, centres, strides = model.raw(images)
        loss = detection_loss(boxes(rows, centres, strides), rows[:, 4:], centres, truth)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        follow(average, model, step)
        seen += loss.item()
        if step % 100 == 99:
            print(f"step {step + 1:5d}  loss {seen / 100:.3f}  {time.perf_counter() - begin:.0f} s", flush=True)
            seen = 0.0
    return average


def main() -> None:
    """Read the command line, train, and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("pages", 4000), ("steps", 5000), ("batch", 16), ("seed", 0), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--out", type=Path, default=HERE / "torch-fp32" / "model.safetensors")
    args = vars(parser.parse_args())
    out: Path = args.pop("out")
    plan = Plan(**args)
    torch.set_num_threads(plan.threads)
    cv2.setNumThreads(1)
    begin = time.perf_counter()
    pages = draw_pages(plan)
    print(f"{len(pages)} pages drawn in {time.perf_counter() - begin:.0f} s", flush=True)
    model = train(plan, pages)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, out)
    print(f"wrote {out} after {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
