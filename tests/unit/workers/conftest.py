"""What tests of a shard's way share: a worker process's insides on a store of its own."""

from __future__ import annotations

import pytest

from tests.fixtures.scripted_worker import opened_world


@pytest.fixture(params=[1, 4], ids=["one image a run", "batches of four"])
def world(request, tmp_path):
    with opened_world(tmp_path, request.param) as made:
        yield made
