from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobstore.queues import MessageInvalid, decode_hint, encode_hint, queue_name
from jobstore.schema import Hint, ShardId


def test_a_plain_model_id_is_its_own_slug():
    assert queue_name("cpu", "digits") == "infer.cpu.digits"


@given(st.text(min_size=1, max_size=300))
def test_every_model_name_gives_a_queue_that_celery_and_shells_take(model):
    assert re.fullmatch(r"infer\.cpu\.[a-z0-9._-]{1,64}", queue_name("cpu", model))


def test_models_whose_slugs_are_equal_have_different_queues():
    assert len({queue_name("cpu", name) for name in ("a/b", "a-b", "a b", "A-B", "a,b")}) == 5


def test_a_hint_survives_the_way_through_redis():
    hint = Hint("q", ShardId("s1"), 3)

    assert decode_hint(encode_hint(hint), "q") == hint


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"v": 2, "shard": "s", "attempt": 1},
        {"v": 1, "shard": "s"},
        {"v": 1, "shard": "s", "attempt": "1"},
        {"v": 1, "shard": "s", "attempt": True},
        {"v": 1, "shard": 7, "attempt": 1},
        {"v": 1, "shard": "s", "attempt": 1, "more": 0},
        {"v": True, "shard": "s", "attempt": 1},
        {"v": [], "shard": "s", "attempt": 1},
        {"v": 1, "shard": "s\0", "attempt": 1},
        {"v": 1, "shard": "\ud800", "attempt": 1},
        {"v": 1, "shard": "s" * 65, "attempt": 1},
        {"v": 1, "shard": "", "attempt": 1},
        {"v": 1, "shard": "s", "attempt": 0},
        {"v": 1, "shard": "s", "attempt": 10**30},
    ],
)
def test_a_message_of_another_form_is_refused_with_what_was_found(message):
    with pytest.raises(MessageInvalid, match=r"version|expected "):
        decode_hint(message, "q")
