"""The second seam between a runtime and everything else: a model that writes, token by token.

A batch is rows of equal shapes, so nothing is padded and a row's answer does not depend on its neighbours. How a row is
to be answered travels with it as two more tensors, since rows of several jobs may meet in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inference_engine.sessions import Array, Tensors, TensorSpec

#: Names of the tensors `(1,)` int64 that say how a row is answered, and of what comes out.
MAX_NEW_TOKENS, SEED = "max_new_tokens", "seed"
TOKENS, IS_COMPLETE, IS_FINITE = "tokens", "is_complete", "is_finite"
#: Stands in `TOKENS` behind the end of an answer, and in `SEED` where nothing is drawn.
NONE = -1


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How rows are answered.

    Attributes:
        max_new_tokens: of each answer at most.
        seed: tokens are drawn by their probability, each row with this seed, so that a row's draw is its own whatever
            stands beside it; None: the likeliest token is taken.
    """

    max_new_tokens: int
    seed: int | None = None


class GenerativeSession(Protocol):
    """A loaded model that writes: prepared rows in, tokens out, no image or text knowledge at all."""

    @property
    def max_batch_size(self) -> int:
        """Rows a run takes at most."""
        ...

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once, from as many threads."""
        ...

    def generate(self, inputs: Tensors, options: GenerationOptions) -> dict[str, Array]:
        """Answer one batch.

        Args:
            inputs: by the model's own names, each `(n, ...)`.

        Returns:
            `tokens` `(n, m)` int64, `NONE` behind an answer's end, without the prompt and without the token that ends
            it; `is_complete` `(n,)` bool, whether the model ended by itself; `is_finite` `(n,)` bool, whether all that
            a row's tokens were chosen by were numbers.

        Raises:
            OutOfMemory: the device had no room; a smaller batch may fit.
            SessionFailed: the runtime raised.
        """
        ...

    def close(self) -> None:
        """Free what the session holds; it is not used again."""
        ...


def option_rows(options: GenerationOptions) -> dict[str, Array]:
    """The options as tensors of one row."""
    seed = NONE if options.seed is None else options.seed
    return {MAX_NEW_TOKENS: np.asarray([options.max_new_tokens]), SEED: np.asarray([seed])}


class WritingSession:
    """A `GenerativeSession` behind the steps that every model has: rows of equal options are answered together."""

    inputs: Sequence[TensorSpec] = ()
    outputs: Sequence[TensorSpec] = (
        TensorSpec(TOKENS, (None, None), "int64"),
        TensorSpec(IS_COMPLETE, (None,), "bool"),
        TensorSpec(IS_FINITE, (None,), "bool"),
    )

    def __init__(self, writer: GenerativeSession) -> None:
        self._writer = writer

    @property
    def max_batch_size(self) -> int:
        """Rows a run takes at most."""
        return self._writer.max_batch_size

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once."""
        return self._writer.concurrency

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Answer rows of which each says how."""
        asked = np.stack([inputs[MAX_NEW_TOKENS], inputs[SEED]], axis=1)
        rest = {name: value for name, value in inputs.items() if name not in (MAX_NEW_TOKENS, SEED)}
        kinds, of_row = np.unique(asked, axis=0, return_inverse=True)
        answers: dict[int, _Answer] = {}
        for kind, (most, seed) in enumerate(kinds.tolist()):
            rows = np.flatnonzero(of_row.ravel() == kind)
            chosen = rest if len(rows) == len(asked) else {name: value[rows] for name, value in rest.items()}
            found = self._writer.generate(chosen, GenerationOptions(most, None if seed == NONE else seed))
            told = zip(found[TOKENS], found[IS_COMPLETE].tolist(), found[IS_FINITE].tolist(), strict=True)
            answers |= zip(rows.tolist(), told, strict=True)
        return _joined([answers[row] for row in range(len(asked))])

    def close(self) -> None:
        """Free the writer."""
        self._writer.close()


#: Tokens of one row, whether it is complete, whether it is finite.
_Answer = tuple[npt.NDArray[Any], bool, bool]


def _joined(answers: Sequence[_Answer]) -> dict[str, Array]:
    rows, is_complete, is_finite = zip(*answers, strict=True)
    tokens = np.full((len(answers), max(map(len, rows))), NONE, dtype=np.int64)
    for row, answer in zip(tokens, rows, strict=True):
        row[: len(answer)] = answer
    return {TOKENS: tokens, IS_COMPLETE: np.asarray(is_complete), IS_FINITE: np.asarray(is_finite)}
