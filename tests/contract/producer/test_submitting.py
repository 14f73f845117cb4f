"""What is submitted, the same whether a producer reaches the store itself or a server."""

from __future__ import annotations

import pytest

from jobstore.aftercare import Output
from jobstore.errors import ClientTokenReused, InvalidJob
from jobstore.schema import ItemRef, JobState, WorkerId, WorkerRow
from jobstore.views import GateState
from producer.errors import (
    SourceDenied,
    SourceEmpty,
    SourceNotFound,
    SourceUnsupported,
)
from producer.judging.gates import GateLimits
from tests.fixtures.doc_pages import run_page
from tests.fixtures.gateways import NAMES


def test_a_job_holds_what_was_asked_for(world, folder):
    job = world.producer.submit(
        "digits", folder, hardware="gpu-any,cpu", params={"confidence": 0.4}, wishes={"backend": "onnx"}, name="yard",
        tags={"team": "night"}, priority=3, max_failure_rate=0.25, max_failures=7, deadline=4e9, expires=5e9,
    )  # fmt: skip

    status = job.status()
    assert (status.job_id, status.total, status.state) == (job.id, 6, JobState.RUNNING)
    assert (status.model, status.name, status.tags, status.priority) == ("digits", "yard", {"team": "night"}, 3)
    assert (status.hardware, status.params, status.wishes) == (
        ("gpu-any", "cpu"), {"confidence": 0.4}, {"backend": "onnx"},
    )  # fmt: skip
    assert (status.max_failure_rate, status.max_failures, status.deadline, status.expires) == (0.25, 7, 4e9, 5e9)


def test_the_same_key_gives_the_same_job_and_no_key_another(world, folder):
    first, again = (world.producer.submit("digits", folder, hardware="cpu", idempotency_key="yard") for _ in range(2))
    other = world.producer.submit("digits", folder, hardware="cpu")

    assert first.id == again.id != other.id
    assert len(world.producer.jobs()) == 2


def test_items_are_taken_from_lists_patterns_and_iterators(world, folder):
    ways = [
        [folder / NAMES[0], str(folder / NAMES[2])],
        str(folder / "*_person.jpg"),
        (ItemRef(str(folder / name), {"camera": name[0]}) for name in NAMES[:4]),
    ]

    assert [world.producer.submit("digits", way, hardware="cpu").status().total for way in ways] == [2, 3, 4]


def test_a_limit_ends_the_items(world, folder):
    assert world.producer.submit("digits", folder, hardware="cpu", limit=2).status().total == 2


def test_who_is_told_and_what_is_exported_is_said_with_the_job(world, folder):
    world.producer.submit(
        "digits", folder, hardware="cpu", max_failure_rate=1.0, include=["*.jpg"], exclude=["b_*"], since="24h",
        webhook="https://a.example/1", webhooks=[{"url": "https://b.example/2", "secret_env": "YARD_HOOK",
                                                  "on": ["job.started"]}],
        output={"dest": "s3://labels/yard", "formats": ["jsonl", "coco"], "min_confidence": 0.5, "classes": ["dog"],
                "previews": 24, "states": ["ok", "failed"]},
    )  # fmt: skip
    world.work()

    told = {(each.url, each.secret_env, each.event) for each in world.store.outbox.list()}
    assert told == {
        ("https://a.example/1", None, "job.finished"), ("https://b.example/2", "YARD_HOOK", "job.started"),
    }  # fmt: skip
    export = world.store.exports.claim("maker", 60)
    assert world.store.status(export.job_id).total == 5
    options = {"min_confidence": 0.5, "classes": ["dog"], "states": ["ok", "failed"], "previews": 24}
    assert export.output == Output("s3://labels/yard", ("jsonl", "coco"), options)


@pytest.mark.parametrize(
    ("gates", "kept"),
    [
        ({}, {}), ({"speed_share": None, "min_images": 20}, {"speed_share": None}),
        (GateLimits(min_images=3), {"min_images": 3}),
    ],
    ids=["usual", "some", "typed"],
)  # fmt: skip
def test_what_a_job_is_held_against_is_said_with_it(world, folder, gates, kept):
    job = world.producer.submit("digits", folder, hardware="cpu", max_failure_rate=1.0, gates=gates)
    world.work()

    assert world.store.verdicts.of_job(job.id).limits == kept
    assert job.status().gates is GateState.PENDING


def test_a_job_without_gates_is_held_against_nothing(world, done):
    assert (world.store.verdicts.of_job(done.id), done.status().gates) == (None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hardwear": "cpu"}, "did you mean 'hardware'"),
        ({"video": {"fsp": 2}}, "fsp"),
        ({"video": {"fps": 2, "every": 3}}, "exclude each other"),
        ({"wishes": {"backends": "onnx"}}, "did you mean 'backend'"),
        ({"wishes": {"trust": True}}, "never by a job"),
        ({"params": {"confidence": {1, 2}}}, "what JSON can hold"),
        ({"max_failure_rate": 3}, "max_failure_rate 3"),
        ({"tags": ["a"]}, "a mapping"),
        ({"webhook": "hooks.example"}, r"http\(s\)://host"),
        ({"webhook": "https://me:secret@hooks.example"}, "without user name"),
        ({"webhooks": [{"url": "https://hooks.example", "on": ["done"]}]}, "job.finished"),
        ({"output": {"dest": "s3://"}}, "s3://bucket/prefix"),
        ({"output": {"dest": "s3://key:secret@labels"}}, "s3://bucket/prefix"),
        ({"output": {"dest": "out", "format": "coco"}}, "formats"),
        ({"gates": {"speed": 0.5}}, "speed_share"),
        ({"gates": {"class_distance": 2}}, "class_distance is 2"),
        ({"gates": {"objects_change": float("nan")}}, "objects_change is nan"),
        ({"gates": {"min_images": "many"}}, "min_images"),
    ],
    ids=[
        "option",
        "video field",
        "video",
        "wish",
        "trust",
        "params",
        "rate",
        "tags",
        "webhook",
        "password",
        "event",
        "no bucket",
        "key in a bucket",
        "export option",
        "gate",
        "share",
        "no number",
        "text",
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_job(world, folder, options, words):
    with pytest.raises(InvalidJob, match=words):
        world.producer.submit("digits", folder, **{"hardware": "cpu", **options})

    assert world.producer.jobs() == []


@pytest.mark.parametrize(
    ("source", "error"), [("nowhere", SourceNotFound), ("empty", SourceEmpty)], ids=["missing", "empty"]
)
def test_a_wrong_source_is_refused_and_leaves_no_job(world, tmp_path, source, error):
    (tmp_path / "empty").mkdir()

    with pytest.raises(error):
        world.producer.submit("digits", tmp_path / source, hardware="cpu")

    assert world.producer.jobs() == []


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("ftp://host/a.jpg", SourceUnsupported, "ftp:// is not read"),
        ("https://user:secret@host.example/a.jpg", SourceDenied, "user name or password"),
        ("http://169.254.169.254/latest/meta-data", SourceDenied, "169.254.169.254"),
    ],
    ids=["scheme", "credentials", "metadata of a cloud"],
)
def test_an_item_is_held_against_the_same_rules_as_a_source(world, folder, uri, error, words):
    items = [ItemRef(str(folder / NAMES[0])), ItemRef(uri)]

    with pytest.raises(error, match=words) as raised:
        world.producer.submit("digits", items, hardware="cpu")
    with pytest.raises(error, match=words), world.producer.draft("digits", hardware="cpu") as draft:
        draft.add(items)

    assert "secret" not in str(raised.value)
    assert [job.status().total for job in world.producer.jobs(states=["running", "completed"])] == []


def test_rules_are_those_of_this_machines_settings(world, folder, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOWED_ROOTS", str(folder / "other"))

    with pytest.raises(SourceDenied, match=r"a_person\.jpg"):
        world.producer.submit("digits", [ItemRef(str(folder / NAMES[0]))], hardware="cpu")

    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOWED_ROOTS", str(folder))
    assert world.producer.submit("digits", [ItemRef(str(folder / NAMES[0]))], hardware="cpu").status().total == 1


def test_an_item_with_a_relative_path_is_meant_from_the_working_folder(world, folder, monkeypatch):
    monkeypatch.chdir(folder)
    job = world.producer.submit("digits", [ItemRef(NAMES[0])], hardware="cpu")
    world.work()

    assert [result.source for result in job.results()] == [str(folder / NAMES[0])]


def test_automatic_hardware_is_the_best_of_living_workers(world, folder):
    anywhere = world.producer.submit("digits", folder)
    for name, hardware in (("a", "cpu"), ("b", "gpu-sm90")):
        world.store.fleet.heartbeat(WorkerRow(WorkerId(name), "here", 1, hardware, hardware, serves=(hardware,)))
    here = world.producer.submit("digits", folder)

    assert anywhere.status().hardware == ("gpu-any", "cpu")
    assert here.status().hardware == ("gpu-sm90",)


def test_a_draft_is_filled_part_by_part_and_runs_when_it_is_sealed(world, folder):
    with world.producer.draft("digits", hardware="cpu", max_failure_rate=0.5) as draft:
        assert draft.add([folder / NAMES[0], folder / NAMES[1]], part_token="first") == 2  # noqa: S106 - no password
        assert draft.add([folder / NAMES[0], folder / NAMES[1]], part_token="first") == 2  # noqa: S106
        assert draft.add(ItemRef(str(folder / name)) for name in NAMES[2:]) == 4
        world.work()
        assert (draft.job.status().state, draft.job.status().done) == (JobState.DRAFT, 0)
    world.work()

    status = draft.job.wait(timeout=30)
    assert (status.total, status.ok, status.failed) == (6, 5, 1)


def test_the_draft_of_the_page_on_what_is_new_is_filled_as_written(world, folder):
    files = [str(folder / name) for name in NAMES[:3]]

    printed, shown = run_page("incremental.md", producer=world.producer, first_files=files[:2], more_files=files[2:])

    assert printed == shown


def test_a_draft_that_raises_is_cancelled(world, folder):
    draft = world.producer.draft("digits", hardware="cpu")
    draft.add(folder / NAMES[0])

    with pytest.raises(SourceNotFound), draft:
        draft.add(folder / "nowhere.jpg")

    assert draft.job.status().state is JobState.CANCELLED


def test_a_sealed_draft_takes_no_more(world, folder):
    draft = world.producer.draft("digits", hardware="cpu")
    draft.add(folder)
    assert draft.seal().id == draft.seal().id

    with pytest.raises(InvalidJob, match="only a draft takes more items"):
        draft.add(folder)


def test_a_draft_without_items_cannot_be_sealed(world):
    with pytest.raises(InvalidJob, match="item"):
        world.producer.draft("digits", hardware="cpu").seal()


def test_a_key_is_the_same_request_whoever_works_by_then(world, folder):
    first = world.producer.submit("digits", folder, idempotency_key="night")
    world.store.fleet.heartbeat(WorkerRow(WorkerId("a"), "here", 1, "gpu-sm90", "gpu", serves=("gpu-sm90",)))

    assert world.producer.submit("digits", folder, idempotency_key="night").id == first.id
    with pytest.raises(ClientTokenReused):
        world.producer.submit("digits", folder, idempotency_key="night", params={"confidence": 0.9})
