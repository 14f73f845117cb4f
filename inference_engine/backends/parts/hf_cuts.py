"""Several cuts of each picture through a model that takes one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference_engine.sessions import Array, Session, Tensors, TensorSpec


class CutsSession:
    """A session of cuts `(n, ...)` as one of pictures with as many cuts each, `(pictures, cuts, ...)`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.inputs: Sequence[TensorSpec] = session.inputs
        self.outputs: Sequence[TensorSpec] = session.outputs

    @property
    def max_batch_size(self) -> int:
        """Pictures a run takes at most; their cuts go through in batches of as many."""
        return self._session.max_batch_size

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once."""
        return self._session.concurrency

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Run the cuts of one batch of pictures."""
        pictures, cuts = next(iter(inputs.values())).shape[:2]
        flat = {name: value.reshape(pictures * cuts, *value.shape[2:]) for name, value in inputs.items()}
        found: list[dict[str, Array]] = []
        for start in range(0, pictures * cuts, self.max_batch_size):
            batch = {name: value[start : start + self.max_batch_size] for name, value in flat.items()}
            found.append(self._session.run(batch))
        joined = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        return {name: value.reshape(pictures, cuts, *value.shape[1:]) for name, value in joined.items()}

    def close(self) -> None:
        """Close the session of cuts."""
        self._session.close()
