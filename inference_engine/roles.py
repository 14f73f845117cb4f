"""Who may play which part in a pipeline. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference_engine.errors import ParameterInvalid


@dataclass(frozen=True, slots=True)
class Role:
    """A part in a pipeline.

    Attributes:
        interface: the protocol of `inference_engine.interfaces` that its model must have.
        task: what its model must say of itself, if it says it: models of two tasks may have the same members.
    """

    interface: type
    task: str


def check_names(pipeline_id: str, given: Mapping[str, Any], roles: Mapping[str, Role]) -> None:
    """Refuse a set of models that is not exactly one a role.

    Raises:
        ParameterInvalid: with every role that is missing, and every name that is none.
    """
    missing, extra = [name for name in roles if name not in given], [name for name in given if name not in roles]
    if missing or extra:
        found = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"not known: {', '.join(extra)}"] * bool(extra)
        raise ParameterInvalid(f"pipeline {pipeline_id} takes models for {', '.join(roles)}; {'; '.join(found)}")


def check_behaviour(name: str, model: Any, role: Role) -> None:
    """Refuse a model that behaves otherwise than its role.

    Raises:
        ParameterInvalid: with what it is and what was expected.
    """
    if not isinstance(model, role.interface):
        raise ParameterInvalid(f"{name}: expected a {role.interface.__name__}, found {type(model).__name__}")
    if (task := getattr(model, "task", role.task)) != role.task:
        raise ParameterInvalid(f"{name}: expected a model of task {role.task}, found {model!r:.200} of task {task}")
