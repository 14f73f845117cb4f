"""A job's wishes as what negotiates and opens its model; trust is the operator's own, and no wish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference_engine.errors import ParameterInvalid
from inference_engine.measuring import DEFAULT_BUDGET_S
from inference_engine.negotiation import Wishes
from inference_engine.options import SelectionOptions, backend_names, precision_names
from inference_engine.sessions import SessionOptions
from inference_engine.trust import TrustPolicy
from jobstore.wishes import check_wishes

#: Wish -> field of `SelectionOptions`.
_SELECTION = {
    "package_id": "model_package_id",
    "execution_providers": "onnx_execution_providers",
    "nms_fusion": "nms_fusion_preferences",
    "backend_order": "backend_order",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job asks for.

    Attributes:
        order: backends, best first.
        strategy: `order` or `measured`.
        budget_s: seconds that `measured` may take.
        session: execution providers with their options; the rest is the worker's to say.
    """

    wishes: Wishes
    order: tuple[str, ...]
    strategy: str
    budget_s: float
    session: SessionOptions


def read_wishes(
    wishes: Mapping[str, Any],
    device: str,
    trust: TrustPolicy = TrustPolicy(),  # noqa: B008 (frozen)
) -> Asked:
    """Read what stands in a job's row.

    Args:
        device: of this worker; a job that names another one finds nothing here.

    Raises:
        ParameterInvalid: a wish that is not known, or a value that cannot be.
    """
    if problems := check_wishes(wishes):
        raise ParameterInvalid("; ".join(problems))
    selection = SelectionOptions(
        **{field: _frozen(wishes[name]) for name, field in _SELECTION.items() if name in wishes}
    )
    wished = Wishes(
        backend=backend_names(wishes.get("backend")),
        quantization=precision_names(wishes.get("quantization")),
        batch_size=_frozen(wishes.get("batch_size")),
        device=wishes.get("device", device),
        trust=trust,
        package_id=selection.model_package_id,
        execution_providers=selection.provider_names,
        nms_fusion=selection.nms_fusion,
    )
    providers = SessionOptions(
        execution_providers=selection.provider_names or (), provider_options=selection.provider_options
    )
    budget_s = float(wishes.get("measuring_budget_s", DEFAULT_BUDGET_S))
    return Asked(wished, selection.backend_order, wishes.get("strategy", "order"), budget_s, providers)


def _frozen(value: Any) -> Any:
    """Lists, as JSON has them, as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
