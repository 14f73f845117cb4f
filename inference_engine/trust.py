"""Trust follows the loader: what only numbers can come out of needs none, what can run code needs the caller's word.

A TensorRT plan, a TorchScript archive, an exported program (`torch.export.load` reads a pickle) and a package's own
Python code act with the rights of the process. They are opened only where the caller names their hash, or says that
all such packages are to be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference_engine.errors import ParameterInvalid
from inference_engine.remote_packages import RemotePackage

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage

#: Kind of package -> why opening it is more than reading numbers.
EXECUTABLE_KINDS = {
    "trt": "a TensorRT plan is machine code",
    "torch-script": "a TorchScript archive is a program",
    "torch-export": "loading an exported program reads a pickle, which can run anything",
    "custom-code": "the package brings its own Python code",
}
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a caller trusts beyond plain weights.

    Attributes:
        hashes: sha256 of packages (their digest) or of artefacts (their weights, or a package's Python file).
        allows_compiled: every plan, TorchScript archive and exported program.
        allows_local_code: every package's own Python code.
    """

    hashes: tuple[str, ...] = ()
    allows_compiled: bool = False
    allows_local_code: bool = False


def trust_policy(trust: str | Sequence[str] | bool = False, allow_local_code_packages: bool = False) -> TrustPolicy:
    """What a caller's words mean.

    Args:
        trust: a sha256 or several; `True` trusts every compiled package, but no package's own code.

    Raises:
        ParameterInvalid: something else than that.
    """
    if isinstance(trust, bool):
        return TrustPolicy((), trust, allow_local_code_packages)
    hashes = (trust,) if isinstance(trust, str) else tuple(trust)
    wrong = [value for value in hashes if not isinstance(value, str) or not _SHA256.fullmatch(value.lower())]
    if wrong:
        raise ParameterInvalid(
            f"trust must be true, false or sha256 hashes (64 hexadecimal digits), found {wrong[0]!r}"
        )
    return TrustPolicy(tuple(sorted(value.lower() for value in hashes)), False, allow_local_code_packages)


def against_trust(package: ModelPackage | RemotePackage, policy: TrustPolicy) -> tuple[str, str, str] | None:
    """Why this package may not be opened: code, message and hint of a reason; None when it may. Pure."""
    why = EXECUTABLE_KINDS.get(package.kind)
    if why is None or _is_allowed(package, policy):
        return None
    flag = "allow_local_code_packages=True" if package.kind == "custom-code" else "trust=True"
    hint = f'if you know where it comes from: trust="{trusted_hash(package)}", or {flag} for every such package'
    return "untrusted", f"{why}; it is opened only when trusted", hint


def trusted_hash(package: ModelPackage | RemotePackage) -> str:
    """The hash that a caller names to trust a package as a whole."""
    return package.key if isinstance(package, RemotePackage) else package.digest


def _is_allowed(package: ModelPackage | RemotePackage, policy: TrustPolicy) -> bool:
    if trusted_hash(package) in policy.hashes:
        return True
    if isinstance(package, RemotePackage):
        # Before it is fetched only the package as a whole has a name: its key is a hash over its files' hashes.
        return policy.allows_local_code if package.kind == "custom-code" else policy.allows_compiled
    if package.kind == "custom-code":
        # One file's hash vouches for one file: code in several files is trusted by the package's digest only.
        code = [name for name in package.files if not name.endswith((".json", ".txt", ".md", ".safetensors"))]
        return policy.allows_local_code or (len(code) == 1 and package.files.get(code[0]) in policy.hashes)
    return policy.allows_compiled or package.files.get(package.weights.name) in policy.hashes
