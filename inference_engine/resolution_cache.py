"""What was measured, remembered: one JSON file for each question, so that the same machine is not asked twice.

The key holds everything that the answer hangs on: the packages' contents, the machine, the installed runtimes, the
wishes and the limits. No path and no credential is in the key or in the file. An entry that is damaged, too old or does
not fit the candidates of today is no entry.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inference_engine.machine import Machine
from inference_engine.measurements import Measured, measurement_from_record
from inference_engine.negotiation import Candidate, Decision, Package, Reason
from inference_engine.remote_packages import RemotePackage
from inference_engine.sessions import SessionOptions
from inference_engine.tuning import Limits

#: Raised when measuring, comparing or this file's form changes what an answer means.
SCHEMA_VERSION = 2
#: Drivers, kernels and neighbours change without a version that we see.
DEFAULT_EXPIRY_S = 30 * 24 * 3600.0


def _identity(package: Package) -> str:
    """What a package's results hang on, known before it is fetched as well."""
    return package.key if isinstance(package, RemotePackage) else package.digest


def resolution_key(
    decision: Decision,
    machine: Machine,
    limits: Limits,
    source: str,
    options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
) -> str:
    """Give the sha256 of everything that the answer hangs on; hexadecimal.

    Args:
        source: `given` or `generated` pictures: the former are better evidence.
        options: what sessions are opened with; where compiled files lie changes no speed.
    """
    question = {
        "schema_version": SCHEMA_VERSION,
        "packages": sorted((name, _identity(package)) for name, package in decision.packages.items()),
        "machine": machine_fingerprint(machine),
        "runtimes": sorted((*machine.packages.items(), *machine.distributions.items())),
        "wishes": asdict(decision.wishes),
        "order": decision.order,
        "limits": asdict(limits),
        "source": source,
        "options": asdict(replace(options, compile_cache=None)),
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def machine_fingerprint(machine: Machine) -> str:
    """Give the sha256 of what decides speed; two machines bought together share it."""
    record = machine.to_record()
    parts = ("os", "arch", "python", "cpu_name", "cpu_count", "cpu_features", "gpus", "driver_version", "cuda_version")
    # Memory in GiB: what the kernel keeps for itself differs by some MiB from boot to boot.
    chosen = {part: record[part] for part in parts} | {"memory_gib": machine.memory_bytes >> 30}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ResolutionCache:
    """A folder of answers.

    Attributes:
        expiry_s: seconds after which an answer is asked for again.
        clock: seconds since the epoch.
    """

    folder: Path
    expiry_s: float = DEFAULT_EXPIRY_S
    clock: Callable[[], float] = time.time

    def read(self, key: str, decision: Decision) -> Decision | None:
        """Give the remembered decision over the candidates of `decision`; None where there is none that fits."""
        try:
            entry = json.loads(self._path(key).read_text(encoding="utf-8"))
            age = self.clock() - entry["created_at"]
            if entry["schema_version"] != SCHEMA_VERSION or entry["key"] != key or not 0 <= age <= self.expiry_s:
                return None
            return _restore(decision, entry)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def write(self, key: str, decision: Decision) -> None:
        """Keep a measured decision; a reader sees the old file or the new one, never half of one."""
        record = decision.to_record()
        entry = {
            "schema_version": SCHEMA_VERSION,
            "key": key,
            "created_at": self.clock(),
            "candidates": record["candidates"],
            "measured": record["measured"],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(entry, file)
            Path(name).replace(self._path(key))
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _restore(decision: Decision, entry: Mapping[str, Any]) -> Decision | None:
    """Put the remembered verdicts over today's candidates; what was rejected today cannot come back."""
    candidates = tuple(_candidate(record) for record in entry["candidates"])
    today = {candidate.key: candidate for candidate in decision.candidates}
    if {candidate.key for candidate in candidates} != today.keys() or len(candidates) != len(today):
        return None
    if any(c.verdict != "rejected" and today[c.key].verdict == "rejected" for c in candidates):
        return None
    if any(c.is_lowered != today[c.key].is_lowered for c in candidates):
        return None
    if sum(c.verdict == "chosen" for c in candidates) != 1:
        return None
    facts = entry["measured"]
    measured = replace(Measured(**{**facts, "reference": tuple(facts["reference"])}), is_remembered=True)
    return replace(decision, candidates=candidates, strategy="measured", measured=measured)


def _candidate(record: Mapping[str, Any]) -> Candidate:
    measurement = record["measurement"]
    changes = {
        "reasons": tuple(Reason(**reason) for reason in record["reasons"]),
        "measurement": measurement_from_record(measurement) if measurement is not None else None,
    }
    found = Candidate(**{**record, **changes})
    if found.verdict not in ("chosen", "runnable", "rejected"):
        raise ValueError(f"verdict {found.verdict!r}")
    return found
