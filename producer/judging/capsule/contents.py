"""What a capsule holds, and how it is read. `docs/judging.md` has the form."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from producer.errors import CapsuleInvalid
from videos.options import Clip

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow

#: Of the file's form; a reader refuses others.
SCHEMA_VERSION = 1
#: What of a machine decides over numbers and speed; free memory and names of hosts do not.
_MACHINE = (
    "os", "arch", "python", "cpu_name", "cpu_count", "cpu_features", "gpus", "driver_version", "cuda_version",
    "jetson_type", "l4t_version",
)  # fmt: skip
_GPU = ("name", "compute_capability", "memory_bytes")


@dataclass(frozen=True, slots=True)
class CapsuleInput:
    """One item.

    Attributes:
        sha256: of its bytes; None where they could not be read when the capsule was written.
        result: sha256 over its results in canonical form (`producer.judging.capsule.canonical`): one of a picture; of a
            video what is said of it as a whole, and one a frame.
        clip: the part of a video that it is; None: a picture.
    """

    idx: int
    uri: str
    sha256: str | None
    result: str
    clip: Clip | None = None


@dataclass(frozen=True, slots=True)
class CapsuleDecision:
    """What ran the model in one worker process."""

    package_id: str
    package_digest: str
    backend: str
    device: str
    quantization: str
    max_batch_size: int
    versions: Mapping[str, str]
    machine: Mapping[str, Any]

    @classmethod
    def of(cls, row: DecisionRow) -> CapsuleDecision:
        """A decision's, without what differs between two looks at one machine."""
        machine = {key: row.machine[key] for key in _MACHINE if row.machine.get(key)}
        if "gpus" in machine:
            machine["gpus"] = [{key: gpu.get(key) for key in _GPU} for gpu in machine["gpus"]]
        return cls(
            package_id=row.package_id,
            package_digest=row.package_digest,
            backend=row.backend,
            device=row.device,
            quantization=row.quantization,
            max_batch_size=row.max_batch_size,
            versions=dict(row.versions),
            machine=msgspec.to_builtins(machine),
        )


@dataclass(frozen=True, slots=True)
class Capsule:
    """A run.

    Attributes:
        job: id, name, state, created, started, finished, hardware.
        counts: outcomes by state.
        model: id, digest, task and class names.
        video: which frames of videos were labelled, by the fields of `videos.options.VideoOptions`; None: each one.
        results_sha256: over all results in canonical form, in the order of items and frames.
    """

    schema_version: int
    nightshift: str
    job: Mapping[str, Any]
    counts: Mapping[str, int]
    model: Mapping[str, Any]
    params: Mapping[str, Any]
    wishes: Mapping[str, Any]
    decisions: tuple[CapsuleDecision, ...]
    results_sha256: str
    inputs: tuple[CapsuleInput, ...]
    video: Mapping[str, Any] | None = None


class _Version(msgspec.Struct):
    schema_version: int


def read_capsule(path: Path) -> Capsule:
    """Read a capsule.

    Raises:
        CapsuleInvalid: no such file, not a capsule, damaged, or of another version.
    """
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise CapsuleInvalid(f"{path} is a capsule of version {version}; this nightshift reads {SCHEMA_VERSION}")
        return msgspec.json.decode(data, type=Capsule)
    except OSError as error:
        raise CapsuleInvalid(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise CapsuleInvalid(
            f"{path} is no capsule: {error}; write one with: nightshift capsule JOB -o FILE"
        ) from error


def choose(capsule: Capsule, limit: int | None = None, seed: int | None = None) -> tuple[CapsuleInput, ...]:
    """The inputs that are run again, in their order.

    Args:
        limit: so many at most; None: all.
        seed: of the sample that is drawn; None: the first ones.
    """
    if limit is None or limit >= len(capsule.inputs):
        return capsule.inputs
    if seed is None:
        return capsule.inputs[:limit]
    drawn = random.Random(seed).sample(capsule.inputs, limit)  # noqa: S311 - a sample, no secret
    return tuple(sorted(drawn, key=lambda each: each.idx))
