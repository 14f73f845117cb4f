"""A run capsule: one file that says what went into a job and what came out, so that it can be run again and checked."""

from __future__ import annotations

from producer.judging.capsule.contents import Capsule, CapsuleDecision, CapsuleInput, choose, read_capsule
from producer.judging.capsule.tally import ResultChange
from producer.judging.capsule.tolerance import TOLERANCES, Tolerance, tolerance_of
from producer.judging.capsule.verifying import Replay, Verdict, Verification, changed_inputs, verify
from producer.judging.capsule.writing import CapsuleSummary, write_capsule

__all__ = [
    "TOLERANCES",
    "Capsule",
    "CapsuleDecision",
    "CapsuleInput",
    "CapsuleSummary",
    "Replay",
    "ResultChange",
    "Tolerance",
    "Verdict",
    "Verification",
    "changed_inputs",
    "choose",
    "read_capsule",
    "tolerance_of",
    "verify",
    "write_capsule",
]
