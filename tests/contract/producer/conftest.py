"""Jobs of six pictures, in a store that is reached directly or through a server."""

from __future__ import annotations

import pytest

from tests.fixtures.gateways import NAMES, boxes


@pytest.fixture
def folder(tmp_path, world):
    """Six pictures by name; the worker cannot read one, finds two dogs and a person in another, and nothing in one."""
    place = tmp_path / "yard"
    place.mkdir()
    for name in NAMES:
        (place / name).write_bytes(b"\xff\xd8\xff" + name.encode())
    world.answers |= {
        "b_broken.jpg": "not_an_image",
        "c_dogs.jpg": boxes("dog", "person", "dog"),
        "d_nothing.jpg": boxes(),
    }
    return place


@pytest.fixture
def job(world, folder):
    """A job of those pictures in shards of two; nothing has been done."""
    return world.producer.submit("digits", folder, hardware="cpu", shard_size=2, name="yard", tags={"team": "night"})


@pytest.fixture
def done(world, folder):
    """The same job, ended within its limit of failures."""
    job = world.producer.submit("digits", folder, hardware="cpu", shard_size=2, max_failure_rate=0.5)
    world.work()
    return job
