"""What an operator can do about packages that are refused because they can run code. Pure."""

from __future__ import annotations

from inference_engine.negotiation import Decision
from inference_engine.trust import trusted_hash


def operator_hints(decision: Decision) -> str:
    """A line for each package that trust would admit, with the flag and the setting; empty where there is none.

    The settings are those of the machine that runs the model: a job cannot say what a worker trusts.
    """
    refused = {c.package_id: c.backend for c in decision.candidates if any(r.code == "untrusted" for r in c.reasons)}
    return "".join(f"\nto open {name}: {_way(decision, name)}" for name in sorted(refused))


def _way(decision: Decision, package_id: str) -> str:
    package = decision.packages[package_id]
    sha256 = trusted_hash(package)
    if package.kind == "custom-code":
        every = "--allow-code, NIGHTSHIFT_ALLOW_LOCAL_CODE_PACKAGES=true"
    else:
        every = "--trust all, NIGHTSHIFT_TRUST=true"
    return f"--trust {sha256}, or NIGHTSHIFT_TRUST={sha256}, where the workers are started ({every}: for every such)"
