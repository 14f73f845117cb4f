"""What a package's makers recommend where a call says nothing: section `recommended_parameters` of its configuration.

The facts are those of the peer library's registry entry (`recommendedParameters`: `confidence`, `perClassConfidence`);
either of the two may stand alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_engine.config_fields import check_known, section, share
from inference_engine.errors import PackageInvalid

KEY = "recommended_parameters"


@dataclass(frozen=True, slots=True)
class Recommended:
    """Thresholds that were tuned for these weights.

    Attributes:
        confidence: for every class; None: nothing is recommended.
        per_class_confidence: for single classes, by name.
    """

    confidence: float | None = None
    per_class_confidence: tuple[tuple[str, float], ...] = ()


def parse_recommended(config: Mapping[str, Any], class_names: Sequence[str], where: str) -> Recommended:
    """Read the section; absent, nothing is recommended.

    Args:
        class_names: of results; a threshold of another name is refused, since it would be applied to nothing.

    Raises:
        PackageInvalid: a key or a name is unknown, or a threshold is no number from 0 to 1.
    """
    given = section(config, KEY, where)
    check_known(given, {"confidence", "per_class_confidence"}, f"{where}: {KEY}")
    by_class = section(given, "per_class_confidence", f"{where}: {KEY}")
    if unknown := [name for name in by_class if name not in class_names]:
        raise PackageInvalid(f"{where}: {KEY} has a confidence for {unknown[0]!r}, which is no class of the results")
    confidence = given.get("confidence")
    return Recommended(
        None if confidence is None else share(confidence, f"{KEY}.confidence", where),
        tuple((name, share(value, f"{KEY}: confidence of {name!r}", where)) for name, value in by_class.items()),
    )
