"""Which of the queues that have work a process consumes: pinned models only, loaded ones first, all in the end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from jobstore.queues import queue_name

#: Seconds that a queue of another model waits while queues of loaded models have work.
FAIRNESS_S = 5.0
#: Seconds without work after which a queue is let go: its model may be wanted again soon.
IDLE_S = 60.0
#: Queues that are begun at once by a process that has nothing else to do: as many models as may load side by side.
_BEGUN_AT_ONCE = 4
#: Queues that a process consumes at most. Redis answers a pop over 200 queues in 0.65 ms, over 4,000 in 3.7 ms.
_MOST = 32


@dataclass(frozen=True, slots=True)
class Change:
    """Queues to consume from now on, and queues to let go."""

    add: tuple[str, ...]
    drop: tuple[str, ...]


@dataclass(slots=True)
class Demand:
    """Follows what is wanted; a load of a model costs seconds, so a process stays with those that it has.

    Attributes:
        serves: hardware classes, this process's own first.
        models: consume queues of these models only; empty: of all.
    """

    serves: Sequence[str]
    models: Collection[str] = ()
    _waiting_since: dict[str, float] = field(default_factory=dict)
    _wanted_at: dict[str, float] = field(default_factory=dict)
    _begun_at: dict[str, float] = field(default_factory=dict)

    def choose(self, wanted: Collection[str], consumed: Collection[str], loaded: Collection[str], now: float) -> Change:
        """What to change.

        Args:
            wanted: queues that have work.
            consumed: queues that are consumed at this moment.
            loaded: models that are open in this process.
            now: seconds of a clock that never goes back.
        """
        if self.models:
            wanted = self._queues(self.models).intersection(wanted)
        at_hand = self._queues(loaded).union(consumed)
        fresh = sorted(set(wanted).difference(consumed), key=lambda queue: (self._waiting_since.get(queue, now), queue))
        self._waiting_since = {queue: self._waiting_since.get(queue, now) for queue in fresh}
        add = [queue for queue in fresh if queue in at_hand]
        others = [queue for queue in fresh if queue not in at_hand]
        if not at_hand.intersection(wanted):
            add += others[:_BEGUN_AT_ONCE]
        elif others and now - self._waiting_since[others[0]] >= FAIRNESS_S:
            add.append(others[0])
        add = add[:_MOST]
        return Change(tuple(add), self._drops(wanted, consumed, add, now))

    def _drops(
        self, wanted: Collection[str], consumed: Collection[str], add: Sequence[str], now: float
    ) -> tuple[str, ...]:
        """Queues without work for long, and when there are too many, those that have been consumed the longest."""
        held = {*consumed, *add}
        self._begun_at = {queue: self._begun_at.get(queue, now) for queue in held}
        self._wanted_at = {queue: now if queue in wanted else self._wanted_at.get(queue, now) for queue in held}
        idle = {queue for queue in consumed if now - self._wanted_at[queue] > IDLE_S}
        kept = sorted(set(consumed) - idle, key=lambda queue: (self._wanted_at[queue], self._begun_at[queue], queue))
        surplus = max(0, len(kept) + len(add) - _MOST)
        return tuple(sorted(idle.union(kept[:surplus])))

    def _queues(self, models: Collection[str]) -> set[str]:
        return {queue_name(hardware, model) for hardware in self.serves for model in models}
