"""Night watch: a job's figures against those of the last good runs: one that "succeeds" with nothing is noticed.

`judge` does it for a job of the store; `figures_of` reads a job's rows once, and the rest is pure.
"""

from __future__ import annotations

from producer.judging.gates.checking import Finding, GateLimits, GateReport, check
from producer.judging.gates.figures import RunFigures, figures_of
from producer.judging.gates.judging import NIGHTS, Judgement, judge, words_of

__all__ = [
    "NIGHTS",
    "Finding",
    "GateLimits",
    "GateReport",
    "Judgement",
    "RunFigures",
    "check",
    "figures_of",
    "judge",
    "words_of",
]
