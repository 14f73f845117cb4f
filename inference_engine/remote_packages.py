"""What is known of a package before it is fetched: enough to choose by, and where its files are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from inference_engine.errors import AnswerInvalid, PackageInvalid
from inference_engine.inference_config import NmsDefaults
from inference_engine.requirements import Requirements, fused_nms, remote_requirements

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage

#: Hash algorithm -> its length in hexadecimal digits. `git-sha1` is git's hash of a blob: over a header and the bytes.
HASH_LENGTHS = {"md5": 32, "sha256": 64, "git-sha1": 40}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")


@dataclass(frozen=True, slots=True)
class FileHash:
    """A hash that a provider declares for a file.

    Raises:
        AnswerInvalid: the algorithm is not of `HASH_LENGTHS`, or the value not hexadecimal of that length.
    """

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        length = HASH_LENGTHS.get(self.algorithm)
        if length is None or not re.fullmatch(rf"[0-9a-f]{{{length}}}", self.value):
            raise AnswerInvalid(
                f"{self.algorithm} hash {self.value[:80]!r}: expected {length or 'another kind of'} digits"
            )

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a package.

    Attributes:
        name: its place in the package folder.
        source: what the provider fetches it by, a URL mostly; it may be signed, so it is never shown or stored.
        hash: what it is verified by; None where the provider declares none.
        size: bytes, where the provider says.

    Raises:
        AnswerInvalid: the name would leave the folder.
    """

    name: str
    source: str = field(default="", repr=False, compare=False)
    hash: FileHash | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if not is_file_name(self.name):
            raise AnswerInvalid(f"file name {self.name[:80]!r}: expected letters, digits and ._+- , inside the package")


def is_file_name(name: str) -> bool:
    """Whether a file may be called so: below its package, and by the same name on every file system."""
    return bool(_NAME.fullmatch(name)) and len(name) <= 200


class Origin(Protocol):
    """What makes a remote package a local one."""

    def bring(self, package: RemotePackage) -> ModelPackage:
        """Fetch what is not there yet, and read the package."""

    def heal(self, package: RemotePackage) -> bool:
        """Hash what is there; set damaged files aside and say whether there were any."""


@dataclass(frozen=True, slots=True)
class RemotePackage:
    """A package that a provider offers; negotiation reads it like a `ModelPackage`.

    Attributes:
        provider: name of the provider that has its files.
        static_batch_size: images that a run takes exactly; None where the batch is free.
        max_batch_size: images a run takes at most; 64 where the provider says nothing.
        manifest: what the provider says of the artefact: versions and devices that a compiled plan needs.
        features: what was built into the artefact, such as fused NMS.
        is_trusted: the provider vouches for who made it.
        origin: fetches it; None in a stored record.
        requirements: what the artefact needs of a machine, as the manifest says.
        fused_nms: what the network's own suppression of boxes was built with; None where it has none.

    Raises:
        AnswerInvalid: two files of one name, or none; or a value of the manifest is of a wrong form.
    """

    package_id: str
    model_id: str
    provider: str
    kind: str
    architecture: str
    task: str
    quantization: str
    files: tuple[RemoteFile, ...]
    static_batch_size: int | None = None
    max_batch_size: int = 64
    opset: int | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    is_trusted: bool = False
    warnings: tuple[str, ...] = ()
    origin: Origin | None = field(default=None, repr=False, compare=False)
    requirements: Requirements = field(init=False, repr=False, compare=False)
    fused_nms: NmsDefaults | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [file.name for file in self.files]
        if not names or len(set(names)) != len(names):
            raise AnswerInvalid(f"package {self.package_id!r}: expected files of different names, found {names[:20]}")
        try:
            needs = remote_requirements(self.manifest, self.kind, f"package {self.package_id!r}")
            fused = fused_nms(self.features, f"package {self.package_id!r}: modelFeatures")
        except PackageInvalid as error:
            raise AnswerInvalid(str(error)) from error
        object.__setattr__(self, "requirements", needs)
        object.__setattr__(self, "fused_nms", fused)

    @property
    def weights_bytes(self) -> int | None:
        """Size of the largest file, which is the artefact or a part of it; None where the provider says no size."""
        return max((file.size for file in self.files if file.size is not None), default=None)

    @property
    def key(self) -> str:
        """What the cache stores it under: a hash over all that makes its content, wherever that lies."""
        hashed = all(file.hash for file in self.files)
        # Without hashes two packages may have the same names and different bytes: then the place counts as well.
        place = () if hashed else (self.provider, self.package_id)
        facts = (self.model_id, self.kind, self.architecture, self.task, self.quantization, *place)
        files = (f"{file.name}\0{file.hash}\0{file.size}" for file in sorted(self.files, key=lambda file: file.name))
        return hashlib.sha256("\n".join((*facts, *files)).encode()).hexdigest()

    def to_record(self) -> dict[str, Any]:
        """JSON-safe, without sources, which may hold signatures."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        files = [
            {"name": f.name, "hash": f.hash and [f.hash.algorithm, f.hash.value], "size": f.size} for f in self.files
        ]
        return {**plain, "files": files}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RemotePackage:
        """Read what `to_record` gave; KeyError, TypeError or AnswerInvalid where it was changed."""
        files = tuple(
            RemoteFile(file["name"], hash=file["hash"] and FileHash(*file["hash"]), size=file["size"])
            for file in record["files"]
        )
        package = cls(**{name: record[name] for name in _PLAIN}, files=files)
        return replace(package, warnings=tuple(package.warnings))


_PLAIN = (
    "package_id",
    "model_id",
    "provider",
    "kind",
    "architecture",
    "task",
    "quantization",
    "static_batch_size",
    "max_batch_size",
    "opset",
    "manifest",
    "features",
    "is_trusted",
    "warnings",
)
