"""What callers of `AutoModel` say more rarely than a backend or a device, in groups, and how each may be spelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_engine.backends import known_backends
from inference_engine.enums import Quantization
from inference_engine.errors import ParameterInvalid
from inference_engine.negotiation import BACKEND_ORDER
from inference_engine.wishes import NmsFusion

#: How a candidate is chosen.
STRATEGIES = ("order", "measured")
#: One name, or one with its options as ONNX Runtime takes them.
ExecutionProvider = str | tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """Which of the candidates may be chosen, beyond what is asked for every day; names are the peer library's.

    Attributes:
        model_package_id: the one package that may be chosen; all other rules still hold for it.
        onnx_execution_providers: ONNX Runtime's names, best first, each alone or as `(name, options)`; None: CUDA on a
            GPU, else the CPU.
        nms_fusion_preferences: False refuses packages whose network suppresses boxes itself, True refuses all others;
            a `NmsFusion`, or a mapping of its fields, says what the fused suppression must be like; None: both run.
        trt_engine_host_code_allowed: TensorRT plans that hold code for the host may be loaded.
        max_package_loading_attempts: candidates that are opened at most, until one opens; None: all that may run.
        backend_order: backends, best first; one that is not named comes last.

    Raises:
        ParameterInvalid: a value that cannot be.
    """

    model_package_id: str | None = None
    onnx_execution_providers: tuple[ExecutionProvider, ...] | None = None
    nms_fusion_preferences: bool | NmsFusion | Mapping[str, Any] | None = None
    trt_engine_host_code_allowed: bool = True
    max_package_loading_attempts: int | None = None
    backend_order: tuple[str, ...] = BACKEND_ORDER

    def __post_init__(self) -> None:
        most = self.max_package_loading_attempts
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            raise ParameterInvalid(f"max_package_loading_attempts must be a positive whole number, found {most!r}")
        if not isinstance(self.trt_engine_host_code_allowed, bool):
            raise ParameterInvalid(
                f"trt_engine_host_code_allowed must be true or false, found {self.trt_engine_host_code_allowed!r}"
            )
        backend_names(self.backend_order)
        if self.onnx_execution_providers is not None:
            _providers(self.onnx_execution_providers)
            object.__setattr__(self, "onnx_execution_providers", tuple(self.onnx_execution_providers))

    @property
    def provider_names(self) -> tuple[str, ...] | None:
        """The execution providers without their options."""
        given = self.onnx_execution_providers
        return None if given is None else tuple(name for name, _ in _providers(given))

    @property
    def provider_options(self) -> dict[str, dict[str, str]]:
        """Options by execution provider, as texts; one without options is no key."""
        given = () if self.onnx_execution_providers is None else self.onnx_execution_providers
        return {name: options for name, options in _providers(given) if options}

    @property
    def nms_fusion(self) -> bool | NmsFusion | None:
        """The preference with a mapping read."""
        given = self.nms_fusion_preferences
        return _nms_fusion(given) if isinstance(given, Mapping) else given


@dataclass(frozen=True, slots=True)
class MeasuringOptions:
    """How strategy `measured` measures.

    Attributes:
        samples: images in any form that the model takes; None: generated ones.
        budget_s: seconds that it may take; an opening or a round that has begun is ended.
        cache_dir: folder where measurements are remembered; None: they are not.
    """

    samples: Any = field(default=None, compare=False, repr=False)
    budget_s: float = 30.0
    cache_dir: Path | None = None


def backend_names(given: str | Iterable[str] | None) -> str | tuple[str, ...] | None:
    """Name or names of backends, from a text, a member of `BackendType` or several of either.

    Raises:
        ParameterInvalid: there is no such backend, or none is named.
    """
    return _names(given, "backend", known_backends())


def precision_names(given: str | Iterable[str] | None) -> str | tuple[str, ...] | None:
    """Name or names of precisions, from a text, a member of `Quantization` or several of either.

    Raises:
        ParameterInvalid: there is no such precision, or none is named.
    """
    return _names(given, "quantization", tuple(map(str, Quantization)))


def _names(given: Any, what: str, known: tuple[str, ...]) -> str | tuple[str, ...] | None:
    if given is None:
        return None
    is_one = isinstance(given, str) or not isinstance(given, Iterable)
    named = (given,) if is_one else tuple(given)
    wrong = [name for name in named if not isinstance(name, str) or name not in known]
    if wrong or not named:
        raise ParameterInvalid(f"{what} must be some of {', '.join(known)}, found {wrong[0] if wrong else given!r}")
    return str(given) if is_one else tuple(map(str, named))


def _providers(given: Any) -> list[tuple[str, dict[str, str]]]:
    entries = [_provider(entry) for entry in given] if isinstance(given, list | tuple) else []
    if not entries and given != ():
        raise ParameterInvalid(f"onnx_execution_providers must be names or (name, options), found {given!r}")
    return entries


def _provider(entry: Any) -> tuple[str, dict[str, str]]:
    name, options = (entry, {}) if isinstance(entry, str) else entry if _is_pair(entry) else (None, {})
    if not isinstance(name, str) or not name.endswith("ExecutionProvider"):
        raise ParameterInvalid(
            f"an execution provider is a name such as 'CPUExecutionProvider', or (name, options), found {entry!r}"
        )
    return name, {str(key): str(value) for key, value in options.items()}


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[1], Mapping)


def _nms_fusion(given: Mapping[str, Any]) -> NmsFusion:
    """The peer library calls the threshold `confidence_threshold`."""
    renamed = {"confidence" if key == "confidence_threshold" else key: value for key, value in given.items()}
    try:
        return NmsFusion(**renamed)
    except (TypeError, ValueError) as error:
        raise ParameterInvalid(f"nms_fusion_preferences {dict(given)!r}: {error}") from error
