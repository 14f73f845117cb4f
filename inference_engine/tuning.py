"""Which settings are worth trying, and which worth trying again. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from inference_engine.negotiation import Package
from inference_engine.sessions import SessionOptions

K = TypeVar("K", bound=Hashable)

#: A CPU gains little from large batches, and they cost memory; a GPU lives on them.
_CPU_BATCHES, _GPU_BATCHES = (1, 4, 8), (1, 8, 32)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the caller can use.

    Attributes:
        cores: that all runs together may take.
        streams: runs that the caller will have under way at once; 1 for a plain loop.
        threads: within one run; None leaves it to be tuned.
    """

    cores: int
    streams: int = 1
    threads: int | None = None


def openings(device: str, limits: Limits, options: SessionOptions = SessionOptions()) -> list[SessionOptions]:  # noqa: B008 (frozen)
    """Streams and threads of the sessions to open: all cores for one run, a core for each, and between.

    Their product never passes the cores: more threads than cores wait for each other.

    Args:
        options: what else they are opened with.
    """
    if device != "cpu":
        return [replace(options, concurrency=1, threads=0)]
    counts = {1, limits.cores // 2, limits.cores}
    usable = sorted(count for count in counts if 1 <= count <= min(limits.streams, limits.cores))
    return [
        replace(options, concurrency=count, threads=limits.cores // count if limits.threads is None else limits.threads)
        for count in usable
    ]


def batch_sizes(package: Package, device: str, wished: int | None) -> list[int]:
    """Batches to try, smallest first; only one where the artefact or the caller fixes it."""
    if package.static_batch_size or wished:
        return [package.static_batch_size or wished or 1]
    tried = _CPU_BATCHES if device == "cpu" else _GPU_BATCHES
    return [size for size in tried if size <= package.max_batch_size] or [package.max_batch_size]


def leaders(speeds: Mapping[K, float], within: float, most: int) -> list[K]:
    """What comes within a share of the fastest, fastest first, so many at most."""
    fastest = max(speeds.values(), default=0.0)
    kept = [key for key, speed in speeds.items() if speed >= fastest * within]
    return sorted(kept, key=lambda key: -speeds[key])[:most]
