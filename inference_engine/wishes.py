"""What a caller asks of the negotiation, checked once, so that nobody after it need check again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inference_engine.config_fields import is_number
from inference_engine.errors import ParameterInvalid
from inference_engine.package_sections import PRECISIONS
from inference_engine.trust import TrustPolicy

_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")
_PROVIDER = re.compile(r"[A-Za-z]\w*ExecutionProvider")


@dataclass(frozen=True, slots=True)
class NmsFusion:
    """What the suppression of boxes within a network must be like; None leaves a part open.

    Attributes:
        confidence: 0 to 1; like the others a value, or the lowest and the highest.

    Raises:
        ParameterInvalid: a part is no number, or a range is upside down.
    """

    max_detections: int | tuple[int, int] | None = None
    confidence: float | tuple[float, float] | None = None
    iou_threshold: float | tuple[float, float] | None = None
    class_agnostic: bool | None = None

    def __post_init__(self) -> None:
        for name in ("max_detections", "confidence", "iou_threshold"):
            value = getattr(self, name)
            lowest, highest = ends((0, 0) if value is None else value)
            if not is_number(lowest) or not is_number(highest) or not lowest <= highest:
                raise ParameterInvalid(f"nms_fusion.{name} must be a number or (lowest, highest), found {value!r}")
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
        if not isinstance(self.class_agnostic, bool | None):
            raise ParameterInvalid(
                f"nms_fusion.class_agnostic must be true, false or None, found {self.class_agnostic!r}"
            )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asks for; None leaves it to the negotiation. Lists, as JSON has them, become tuples.

    Attributes:
        backend: one, or several, best first.
        quantization: one precision, or several, best first.
        batch_size: images a run must take; or the fewest and the most, all of which it must take unless its batch is
            fixed to a number between them.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        trust: which packages may be opened that can run code.
        package_id: the one package that may be chosen.
        execution_providers: ONNX Runtime's names, best first; other backends do not look at them.
        nms_fusion: False refuses packages whose network suppresses boxes itself, True refuses the others.
        allows_host_code: TensorRT plans that hold code for the host may be loaded.

    Raises:
        ParameterInvalid: a wish that nothing could fulfil.
    """

    backend: str | tuple[str, ...] | None = None
    quantization: str | tuple[str, ...] | None = None
    batch_size: int | tuple[int, int] | None = None
    device: str = "auto"
    trust: TrustPolicy = field(default_factory=TrustPolicy)
    package_id: str | None = None
    execution_providers: tuple[str, ...] | None = None
    nms_fusion: bool | NmsFusion | None = None
    allows_host_code: bool = True

    def __post_init__(self) -> None:
        for name in ("backend", "quantization", "batch_size", "execution_providers"):
            if isinstance(found := getattr(self, name), list):
                object.__setattr__(self, name, tuple(found))
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise ParameterInvalid(f"device must be auto, cpu, cuda or cuda:<index>, found {self.device!r}")
        _check_names(self.backend, "backend", "the name of a backend")
        _check_names(self.quantization, "quantization", f"one of {', '.join(PRECISIONS)}", PRECISIONS)
        _check_batch(self.batch_size)
        if self.package_id is not None and (not isinstance(self.package_id, str) or not self.package_id):
            raise ParameterInvalid(f"package_id must be the id of one package, found {self.package_id!r}")
        _check_providers(self.execution_providers)
        if self.nms_fusion is not None and not isinstance(self.nms_fusion, bool | NmsFusion):
            raise ParameterInvalid(f"nms_fusion must be true, false or NmsFusion(...), found {self.nms_fusion!r}")
        if not isinstance(self.allows_host_code, bool):
            raise ParameterInvalid(f"allows_host_code must be true or false, found {self.allows_host_code!r}")

    @property
    def backends(self) -> tuple[str, ...]:
        """The wished backends, best first; empty: any."""
        return several(self.backend)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The wished precisions, best first; empty: any."""
        return several(self.quantization)

    @property
    def largest_batch(self) -> int | None:
        """Images of the largest run that was asked for."""
        return self.batch_size[1] if isinstance(self.batch_size, tuple) else self.batch_size


def several(wish: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """A wish as a tuple; empty where there is none."""
    return () if wish is None else (wish,) if isinstance(wish, str) else wish


def ends(value: Any) -> tuple[Any, Any]:
    """Lowest and highest of a range, or of a value twice.

    Raises:
        ParameterInvalid: a sequence that is no pair.
    """
    if not isinstance(value, list | tuple):
        return value, value
    if len(value) != 2:
        raise ParameterInvalid(f"a range must be (lowest, highest), found {value!r}")
    return value[0], value[1]


def _check_names(wish: Any, name: str, expected: str, known: Sequence[str] = ()) -> None:
    if wish is None:
        return
    found = (wish,) if isinstance(wish, str) else wish
    is_named = isinstance(found, tuple) and found and all(isinstance(one, str) and one for one in found)
    if not is_named or (known and not set(known) >= set(found)):
        raise ParameterInvalid(f"{name} must be {expected}, or several of them, found {wish!r}")


def _check_batch(wish: Any) -> None:
    least, most = ends(wish) if isinstance(wish, tuple) and len(wish) == 2 else (wish, wish)
    counts = all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in (least, most))
    if wish is not None and not (counts and least <= most):
        raise ParameterInvalid(f"batch_size must be a positive whole number, or (fewest, most), found {wish!r}")


def _check_providers(wish: Any) -> None:
    if wish is None:
        return
    is_named = (
        isinstance(wish, tuple) and wish and all(isinstance(one, str) and _PROVIDER.fullmatch(one) for one in wish)
    )
    if not is_named:
        raise ParameterInvalid(
            f"execution_providers must be ONNX Runtime's names, such as CPUExecutionProvider, found {wish!r}"
        )
