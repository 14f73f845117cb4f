"""Which backend would run a model: asked of whoever has the engine, which producers do without.

What can explain registers itself as the entry point `explain` of the group `producer`: a function like `explain` below.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from producer.errors import ExplainUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from producer.gateway import Explanation

GROUP, NAME = "producer", "explain"


def explain(model: str, hardware: str, wishes: Mapping[str, Any]) -> Explanation:
    """Say which backend would run a model on this machine.

    Raises:
        ExplainUnavailable: nobody here has registered an engine.
    """
    found = entry_points(group=GROUP, name=NAME)
    if not found:
        raise ExplainUnavailable(
            f"no package here can explain {model!r}: expected the entry point {NAME!r} of the group {GROUP!r}, which "
            'nightshift registers; install it whole, or ask a server: Producer("http://host:8000", token=...)'
        )
    answer = cast("Callable[[str, str, Mapping[str, Any]], Explanation]", next(iter(found)).load())
    return answer(model, hardware, wishes)
