"""What gets through the gate, and as what."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobstore.queues import decode_hint
from tests.fixtures.poison import HINT, envelope, poison
from workers.gate import REFUSALS, MessageRefused, admit, printable

QUEUE = "infer.cpu.digits"
KINDS = poison(QUEUE, "never-made")


def test_a_message_of_ours_goes_through_with_its_hint():
    message = envelope(QUEUE)

    admitted = json.loads(admit(json.dumps(message).encode(), QUEUE))

    arguments, keywords, callbacks = json.loads(base64.b64decode(admitted["body"]))
    assert decode_hint(keywords, QUEUE) == decode_hint(HINT, QUEUE)
    assert arguments == []
    assert set(callbacks.values()) == {None}
    assert admitted["properties"] == message["properties"]
    assert admitted["headers"]["id"] == message["headers"]["id"]


def test_what_the_gate_did_not_read_goes_no_further():
    message = envelope(QUEUE)
    message["headers"]["stamps"] = {"__type__": "datetime", "__value__": {}}

    assert b"__type__" not in admit(json.dumps(message).encode(), QUEUE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_malformed_entry_is_refused_with_its_reason(kind):
    reason, entry = KINDS[kind]

    with pytest.raises(MessageRefused) as refused:
        admit(entry, QUEUE)

    assert refused.value.reason == reason
    assert reason in REFUSALS or reason.startswith(("message_version", "message_invalid"))
    assert str(refused.value).isprintable()


@given(st.binary(max_size=400) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*envelope(QUEUE), "task", "id"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_refused_and_never_raise_anything_else(entry):
    with pytest.raises(MessageRefused):
        admit(entry, QUEUE)
    assert printable(entry).isprintable()


PATHS = [(part, name) for part in ("headers", "properties") for name in envelope(QUEUE)[part]]


@given(
    st.sampled_from([*PATHS, *((name,) for name in envelope(QUEUE))]),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.none()) | st.just({}),
)
def test_whatever_a_field_holds_a_message_that_goes_through_has_the_form_of_ours(path, value):
    message = envelope(QUEUE)
    place = message if len(path) == 1 else message[path[0]]
    place[path[-1]] = value
    try:
        admitted = json.loads(admit(json.dumps(message).encode(), QUEUE))
    except MessageRefused:
        return
    assert isinstance(admitted["properties"]["delivery_tag"], str)
    assert admitted["headers"]["retries"] == 0
    assert admitted["headers"]["eta"] is admitted["headers"]["expires"] is None
