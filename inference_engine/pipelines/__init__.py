"""One module a pipeline of models. The folder is the registry: `pipelines/<name>.py` with `ROLES` and `make`.

A pipeline's id is its module's name with `-` for `_`. Those of third parties come in by entry points of the group
`inference_engine.pipelines`: the name is the id, and it loads to a module of the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, Protocol, cast

from inference_engine.errors import ParameterInvalid
from inference_engine.roles import Role

ENTRY_POINT_GROUP = "inference_engine.pipelines"


class PipelineModule(Protocol):
    """What every module in this folder offers."""

    #: The models that it takes, by the name of their part.
    ROLES: Mapping[str, Role]

    def make(self, models: Mapping[str, Any]) -> Any:
        """The pipeline of these models, one a role; their names and behaviours were checked."""
        ...


def known_pipelines() -> tuple[str, ...]:
    """Ids only; nothing is imported."""
    return tuple(sorted({*_own_ids(), *entry_points(group=ENTRY_POINT_GROUP).names}))


def pipeline_module(pipeline_id: str) -> PipelineModule:
    """The module of a pipeline, imported when it is asked for.

    Raises:
        ParameterInvalid: there is none of this id.
    """
    if pipeline_id in _own_ids():
        return cast("PipelineModule", import_module(f"{__name__}.{pipeline_id.replace('-', '_')}"))
    for point in entry_points(group=ENTRY_POINT_GROUP, name=pipeline_id):
        return cast("PipelineModule", point.load())
    raise ParameterInvalid(f"no pipeline is called {pipeline_id!r}, only {', '.join(known_pipelines())}")


def _own_ids() -> set[str]:
    return {module.name.replace("_", "-") for module in iter_modules(__path__)}
