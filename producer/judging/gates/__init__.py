"""Night watch: a job's figures against those of the last good runs: one that "succeeds" with nothing is noticed.

`figures_of` reads a job's rows once; the rest is pure. Nothing is kept: whoever asks often keeps the figures.
"""

from __future__ import annotations

from producer.judging.gates.checking import Finding, GateLimits, GateReport, check
from producer.judging.gates.figures import RunFigures, figures_of
from producer.judging.gates.history import good_runs

__all__ = ["Finding", "GateLimits", "GateReport", "RunFigures", "check", "figures_of", "good_runs"]
