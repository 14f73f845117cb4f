"""The language of `results(where=...)`."""

import re
from pathlib import Path

import pytest

from jobstore.schema import ItemError, OutcomeState
from jobstore.views import ResultRow
from producer.errors import FilterInvalid
from producer.result import Result
from producer.where import FIELDS, MAX_CHARS, MAX_DEPTH, parse_where


def row(record, **fields):
    given = {
        "idx": 0, "frame": 0, "uri": "/cams/yard/1.jpg", "metadata": {"camera": "A", "lux": "12"},
        "state": OutcomeState.OK, "record": record, "blob": None, "error": None, "timings_ms": None,
        "decision_id": None, "attempt": 1,
    }  # fmt: skip
    return Result(ResultRow(**{**given, **fields}))


PICTURE = row(
    {
        "task": "object-detection", "image_hw": [10, 20], "confidence": [0.9, 0.3], "class_id": [0, 1],
        "class_name": ["person", "dog"], "xyxy": [[0, 0, 5, 4], [1, 1, 2, 9]],
    }
)  # fmt: skip
CLASSES = row({"task": "classification", "confidence": [0.7], "class_id": [3], "class_name": ["cat"]})
FAILED = row(None, state=OutcomeState.FAILED, error=ItemError("not_an_image", "no picture"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("score > .5 and label == 'person'", (0,)),
        ("score > .5 and label = 'dog'", None),
        ("score >= 0.3", (0, 1)),
        ('score < 3e-1 or label != "dog"', (0,)),
        ("not score > .5", (1,)),
        ("not (label = 'dog' or label = 'person')", None),
        ("label in ('cat', 'dog')", (1,)),
        ("label not in ('cat', 'dog')", (0,)),
        ("label like 'p*n'", (0,)),
        ("class_id = 1", (1,)),
        ("height > 7 and width <= 1", (1,)),
        ("x_min = 0 and y_max = 4 and x_max = 5 and y_min = 0", (0,)),
        ("objects = 2", (0, 1)),
        ("source like '*/yard/*'", (0, 1)),
        ("state = 'failed'", None),
        ("metadata.camera = 'A' and metadata.lux > 11.5", (0, 1)),
        ("metadata.lux > 12", None),
        ("metadata.absent = none", (0, 1)),
        ("metadata.absent != 'x'", None),
        ("timestamp = none AND frame = 0", (0, 1)),
    ],
)
def test_an_expression_names_the_objects_that_it_is_true_of(text, kept):
    assert parse_where(text).find(PICTURE) == kept


def test_classes_of_a_whole_picture_are_asked_like_objects():
    assert parse_where("label = 'cat' and score > .6").find(CLASSES) == (0,)
    assert parse_where("label = 'cat' and score > .8").find(CLASSES) is None


def test_an_item_without_a_record_is_found_by_what_it_has():
    assert parse_where("cause = 'not_an_image'").find(FAILED) == ()
    assert parse_where("score >= 0").find(FAILED) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the name of a field"),
        ("score", "one of <"),
        ("score >", "it ends"),
        ("scor > 1", "score?"),
        ("score > 'x'", "a number, as score is one"),
        ("label = 1", "a text in quotes, as label is one"),
        ("label = person", "in quotes"),
        ("score > .5 label = 'x'", "`and`, `or` or the end"),
        ("(score > .5", "`)`"),
        ("score > 5and", "a field, a value or a sign"),
        ("score > none", "before none"),
        ("label like 5", "a text"),
        ("label in 'a'", "`(`"),
        ("__import__('os').system('true')", "a field"),
        ("metadata.__class__.x = 1", "a field, a value or a sign"),
        ("score > 1; drop", "a field, a value or a sign"),
        ("(" * (MAX_DEPTH + 2) + "score > 1", "brackets"),
        ("not " * (MAX_DEPTH + 2) + "score > 1", "brackets"),
        ("score > 1" + " " * MAX_CHARS, "characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_was_expected(text, words):
    with pytest.raises(FilterInvalid, match=re.escape(words)):
        parse_where(text)


def test_the_page_lists_every_field():
    page = (Path(__file__).parents[3] / "docs/python.md").read_text(encoding="utf-8")

    assert [name for name in FIELDS if f"`{name}`" not in page] == []
