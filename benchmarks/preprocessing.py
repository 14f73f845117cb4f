"""What preprocessing costs beside the least that it could: eight pictures 1280 x 720 into a network of 640 x 640.

    python benchmarks/preprocessing.py

Side by side, best of many rounds, one thread: OpenCV's resize alone; resize and a copy into a preallocated float batch;
`to_network` into a preallocated batch; `to_network` with arrays of its own, and the other steps of a package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from _rounds import best_of, print_table

from inference_engine.images import to_network
from inference_engine.network_input import Contrast, Crop, NetworkInput, ResizeMode
from inference_engine.opencv import import_cv2

HW, SIDE, PICTURES = (720, 1280), 640, 8
PLAIN = NetworkInput((SIDE, SIDE))
OURS = "to_network, its own arrays"
BARE = "cv2.resize and copy into a batch"

NETWORKS = {
    OURS: PLAIN,
    "imagenet normalisation": NetworkInput((SIDE, SIDE), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "stretch": NetworkInput((SIDE, SIDE), ResizeMode.STRETCH),
    "letterbox-reflect-edges": NetworkInput((SIDE, SIDE), ResizeMode.LETTERBOX_REFLECT),
    "static crop": NetworkInput((SIDE, SIDE), crop=Crop(10, 10, 90, 90)),
    "grayscale": NetworkInput((SIDE, SIDE), grayscale=True),
    **{contrast.value: NetworkInput((SIDE, SIDE), contrast=contrast) for contrast in Contrast},
}


def work(pictures: list[Any]) -> dict[str, Callable[[], None]]:
    """What is measured, by name; each does all pictures."""
    cv2 = import_cv2()
    batch = np.zeros((len(pictures), 3, SIDE, SIDE), np.float32)
    height = round(HW[0] * SIDE / HW[1])
    top = (SIDE - height) // 2

    def resize() -> None:
        for picture in pictures:
            cv2.resize(picture, (SIDE, height))

    def resize_and_copy() -> None:
        for index, picture in enumerate(pictures):
            batch[index, :, top : top + height] = cv2.resize(picture, (SIDE, height)).transpose(2, 0, 1)

    def into_batch() -> None:
        for index, picture in enumerate(pictures):
            to_network(picture, PLAIN, batch[index : index + 1])

    def own_arrays(network: NetworkInput) -> None:
        for picture in pictures:
            to_network(picture, network)

    return {
        "cv2.resize": resize,
        BARE: resize_and_copy,
        "to_network into a batch": into_batch,
        **{name: partial(own_arrays, network) for name, network in NETWORKS.items()},
    }


def measure(rounds: int, only: tuple[str, ...] = ()) -> dict[str, float]:
    """Milliseconds for all pictures, the best round of each."""
    random = np.random.default_rng(0)
    return best_of(rounds, work([random.integers(0, 256, (*HW, 3), dtype=np.uint8) for _ in range(PICTURES)]), only)


if __name__ == "__main__":
    print_table(__doc__ or "", measure, BARE)
