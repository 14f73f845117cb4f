"""The order of a video's frames, where something follows them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from jobstore.schema import Outcome, OutcomeState
from jobstore.views import ResultRow
from videos.following import Follower
from workers.outcomes import item_error


@dataclass(slots=True)
class FrameOrder:
    """Passes outcomes of frames on in the order in which the frames were begun, each told to the follower first.

    What was passed on, and so what is written, is always told already, and what was not is done again by whoever goes
    on with the video: he tells his own follower what is written, and goes on as if there had been no interruption.
    A frame that failed is not told.
    """

    follower: Follower
    _begun: deque[int] = field(default_factory=deque)
    _held: dict[int, Outcome] = field(default_factory=dict)

    def replay(self, rows: Iterable[ResultRow]) -> None:
        """Tell what an earlier attempt wrote."""
        for row in rows:
            if row.record is not None and row.timestamp_s is not None:
                self.follower.follow(row.record, row.timestamp_s)

    def begin(self, frame: int) -> None:
        """A frame is on its way."""
        self._begun.append(frame)

    def pass_on(self, outcome: Outcome) -> list[Outcome]:
        """The outcomes that wait for no frame before them any more."""
        self._held[outcome.frame] = outcome
        passed = []
        while self._begun and self._begun[0] in self._held:
            passed.append(self._told(self._held.pop(self._begun.popleft())))
        return passed

    def _told(self, outcome: Outcome) -> Outcome:
        if outcome.record is None or outcome.timestamp_s is None:
            return outcome
        try:
            return replace(outcome, record=self.follower.follow(outcome.record, outcome.timestamp_s))
        except Exception as error:  # noqa: BLE001 (as in `ShardRun._begin`: whatever a library raises is the frame's end)
            return replace(outcome, state=OutcomeState.FAILED, record=None, blob=None, error=item_error(error))
