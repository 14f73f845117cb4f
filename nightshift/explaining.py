"""Which backend would run a model on this machine; what `nightshift explain` prints and `Producer.explain` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nightshift.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference_engine.negotiation import Decision
    from producer.gateway import Explanation


def explain(model: str, hardware: str, wishes: Mapping[str, Any]) -> Explanation:
    """Answer for producers, which know no engine: the entry point `explain` of the group `producer`.

    Raises:
        ModelNotFound, PackageInvalid, ParameterInvalid.
    """
    from dataclasses import asdict

    from producer.gateway import Explanation

    decision = decide_here(load_settings(), model, hardware, wishes)
    packages = decision.packages
    meant = packages[decision.chosen.package_id] if decision.chosen is not None else next(iter(packages.values()), None)
    return Explanation(
        model=decision.model_id,
        task=None if meant is None else meant.task,
        chosen=None if decision.chosen is None else asdict(decision.chosen),
        candidates=tuple(asdict(candidate) for candidate in decision.candidates),
        warnings=tuple(f"{each.package_id}: {words}" for each in packages.values() for words in each.warnings),
    )


def decide_here(settings: Settings, model: str, hardware: str, wishes: Mapping[str, Any]) -> Decision:
    """Say what this machine would run the model with; opens nothing.

    Raises:
        ModelNotFound, PackageInvalid: there is no such model.
        ParameterInvalid: a wish that cannot be.
    """
    from inference_engine.loading import decide
    from inference_engine.trust import trust_policy
    from workers.wishing import read_wishes

    device = next((name for name in ("auto", "cpu") if hardware.startswith(name)), "cuda")
    asked = read_wishes(wishes, device, trust_policy(settings.trust, settings.allow_local_code_packages))
    return decide(
        model,
        asked.wishes,
        model_dirs=settings.all_model_dirs,
        order=asked.order,
        provider_options=settings.provider_options,
    )
