import pytest

from jobstore.encoding import count_objects, from_json, is_storable, storable, to_json, to_json_or_none


@pytest.mark.parametrize(
    ("record", "objects"),
    [
        (None, 0),
        ({}, 0),
        ({"confidence": []}, 0),
        ({"confidence": [0.5, 0.25]}, 2),
        ({"confidence": 0.5}, 0),
        ({"text": "Invoice"}, 0),
    ],
    ids=["none", "empty", "no-object", "two-objects", "one-number", "other-task"],
)
def test_objects_are_counted_by_the_confidence_list(record, objects):
    assert count_objects(record) == objects


@pytest.mark.parametrize("value", [{}, [], {"a": [1, 0.1, None, True, "Å\0"]}], ids=["object", "list", "nested"])
def test_json_comes_back_as_it_was(value):
    assert from_json(to_json(value)) == value


def test_nothing_is_null_and_not_the_text_null():
    assert to_json_or_none(None) is None
    assert from_json(None) is None


@pytest.mark.parametrize(
    ("text", "stored"),
    [("plain Å", "plain Å"), ("a\0b", "a\\0b"), ("\udcff", "\\udcff")],
    ids=["plain", "nul", "half-a-pair"],
)
def test_any_text_becomes_storable(text, stored):
    assert storable(text) == stored
    assert is_storable(text) is (text == stored)
