"""Where packages come from. One module a provider; each gives a `FoundModel`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference_engine.packages import ModelPackage


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model and its packages.

    Attributes:
        broken: package id -> why its files cannot be used; shown as rejected candidates.
    """

    model_id: str
    packages: tuple[ModelPackage, ...]
    broken: Mapping[str, str] = field(default_factory=dict)
