"""`AutoModelPipeline`: several models that work as one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from inspect import signature
from typing import Any

from inference_engine.auto import AutoModel
from inference_engine.cutting import close_all
from inference_engine.errors import ParameterInvalid
from inference_engine.pipelines import known_pipelines, pipeline_module
from inference_engine.roles import check_behaviour, check_names


class AutoModelPipeline:
    """Opens pipelines of models; it is never instantiated."""

    @staticmethod
    def list_available_pipelines() -> tuple[str, ...]:
        """Ids of all pipelines, ours and those of installed distributions; nothing is imported."""
        return known_pipelines()

    @staticmethod
    def from_pretrained(pipeline_id: str, models: Mapping[str, Any], *, shared: Mapping[str, Any] | None = None) -> Any:
        """Open what is not open yet, check that each model behaves as its part needs, and join them.

        Args:
            pipeline_id: one of `list_available_pipelines`, for example `detect-then-classify`.
            models: by the name of its part, an id or path, a mapping of keywords of `AutoModel.from_pretrained`
                (`model_id_or_path` among them), or a model that is open already.
            shared: keywords for every model that is opened here, such as `model_dirs`; a model's own ones win.

        Returns:
            The pipeline; `close` on it closes all its models.

        Raises:
            ParameterInvalid: no such pipeline, models that are missing or too many, or one of another behaviour.
                Models that were opened here are closed again; this holds for every error.
            EngineError: what opening a model raises.
        """
        module = pipeline_module(pipeline_id)
        check_names(pipeline_id, models, module.ROLES)
        opened: dict[str, Any] = {}
        try:
            for name, given in models.items():
                if isinstance(given, str | os.PathLike | Mapping):
                    opened[name] = _open(name, given, shared or {})
            joined = {name: opened.get(name, given) for name, given in models.items()}
            for name, role in module.ROLES.items():
                check_behaviour(name, joined[name], role)
            return module.make(joined)
        except BaseException:
            close_all(opened.values())
            raise


def _open(name: str, given: Any, shared: Mapping[str, Any]) -> Any:
    own = given if isinstance(given, Mapping) else {"model_id_or_path": given}
    keywords = {**shared, **own}
    known = list(signature(AutoModel.from_pretrained).parameters)
    unknown = [key for key in keywords if key not in known]
    if unknown or "model_id_or_path" not in keywords:
        told = f"unknown keyword {unknown[0]!r}" if unknown else "no model_id_or_path"
        raise ParameterInvalid(f"{name}: {told}; a model is opened with {', '.join(known)}")
    return AutoModel.from_pretrained(**keywords)
