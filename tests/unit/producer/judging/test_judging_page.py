"""docs/judging.md names what the code has."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from producer.judging.capsule import TOLERANCES, Capsule, Verdict
from producer.judging.comparison import Kind
from producer.judging.gates import GateLimits
from producer.judging.review import DOUBTS
from producer.judging.review.doubts import MARGIN

PAGE = (Path(__file__).parents[4] / "docs/judging.md").read_text(encoding="utf-8")
GATES = ("empty_rate", "failed_rate", "objects_per_image", "class_mix", "speed")
FIGURES = ("overlap", "score_shift", "shift_px", "same_texts", "agreement", "pixels", "relative_difference", "cosine",
           "equal", "similarity")  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        [f"| `{gate}` |" for gate in GATES],
        [f"| `{measure}` |" for measure in {name for name, _ in DOUBTS.values()} | {"disagreement"}],
        [f"`{name}`" for name in FIGURES],
        [f"| `{verdict}` |" for verdict in Verdict],
        [f"*{kind}*" for kind in Kind],
        [f"`{field.name}`" for field in fields(Capsule) if field.name not in ("job", "nightshift")],
    ],
    ids=["gates", "doubts", "figures", "verdicts", "changes", "capsule"],
)
def test_the_page_names_everything(names):
    assert [name for name in names if name not in PAGE] == []


def test_the_page_has_the_limits_of_the_code():
    limits, text = GateLimits(), " ".join(PAGE.split())

    assert f"| {limits.empty_rate_rise} above what is expected |" in text
    assert f"| {limits.failed_rate_rise} above |" in text
    assert f"0 to 1 | {limits.class_distance} |" in text
    assert f"fewer than {limits.min_images} pictures" in text
    assert (limits.objects_change, limits.speed_share) == (0.5, 0.5)
    assert f"to 0, {MARGIN} above it" in text
    fp32, fp16, int8 = (TOLERANCES[name] for name in ("fp32", "fp16", "int8"))
    assert f"fp32 {fp32.min_share:.0%}".replace("%", " %") + f" by {fp32.max_disagreement} at most" in text
    assert f"fp16 and bf16 {fp16.min_share:.0%}".replace("%", " %") + f" by {fp16.max_disagreement}" in text
    assert f"int8 {int8.min_share:.0%}".replace("%", " %") + f" by {int8.max_disagreement}" in text
    assert TOLERANCES["bf16"] == fp16
