"""The verdict of a job's gates on its page, and the form that accepts it."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from jobstore.tokens import Role
from jobstore.views import GateState
from producer.gate_work import Watchman
from producer.server.app import create_app
from tests.fixtures.jobs import add, lease_next, ok, run_to_end, write
from tests.fixtures.server import HTML, bearer, services_on


@pytest.fixture
def unlike(sqlite_store):
    """A job that its gates speak against."""
    watchman = Watchman(sqlite_store, "judge")
    for objects in (1, 0):
        job_id = add(sqlite_store, 2, name="yard", gates={"min_images": 1, "speed_share": None})
        write(sqlite_store, lease_next(sqlite_store), [ok(0, objects), ok(1, objects)], finished=True)
        assert watchman.judge_due() == 1
    return job_id


def test_the_verdict_of_gates_stands_on_the_page_and_is_accepted_by_a_form(visitor, sqlite_store, unlike):
    text = visitor.get(f"/jobs/{unlike}").text
    assert "not like the good runs before it" in text
    assert "100.0% of the pictures have nothing in them" in text
    assert "--gate speed_share=null --gate min_images=1" in text
    assert text.count("Accept this run</button>") == 1
    where = f"/jobs/{unlike}/gates"

    assert visitor.post(where).status_code == 403
    assert sqlite_store.status(unlike).gates is GateState.FAILED
    answer = visitor.post(where, data={"csrf": visitor.csrf})

    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{unlike}?did=accept")
    assert sqlite_store.status(unlike).gates is GateState.ACCEPTED
    for path in (answer.headers["location"], where):
        assert "Accept this run" not in visitor.get(path).text
    assert visitor.post(where, data={"csrf": visitor.csrf}).headers["location"].endswith("did=nothing")


def test_readers_are_shown_the_verdict_and_no_button(sqlite_store, tmp_path, unlike):
    headers = {**HTML, **bearer(sqlite_store, Role.READER)}
    with TestClient(create_app(services_on(sqlite_store, tmp_path)), headers=headers) as reader:
        text = reader.get(f"/jobs/{unlike}").text
    assert "not like the good runs before it" in text
    assert "Accept this run" not in text


@pytest.mark.parametrize(
    ("end", "words"),
    [("none", "as soon as it has completed"), ("cancelled", "nobody judges it"), ("done", "in a moment")],
)
def test_a_page_says_why_gates_say_nothing_yet(visitor, sqlite_store, end, words):
    job_id = add(sqlite_store, 2, gates={})
    assert "Gates</h2>" not in visitor.get(f"/jobs/{add(sqlite_store, 2)}").text
    {"none": lambda: None, "cancelled": lambda: sqlite_store.cancel(job_id), "done": lambda: run_to_end(sqlite_store)}[
        end
    ]()

    assert words in visitor.get(f"/jobs/{job_id}").text
