"""Housekeepers: any number of them, killed anywhere, and each due time is one job, each end one export."""

import json
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobstore.aftercare import Output, Webhook
from jobstore.dispatch import MuteDoorbell
from jobstore.errors import StoreUnavailable
from jobstore.export_requests import ExportState
from jobstore.outbox import DeliveryState
from jobstore.schedule_runs import RunState
from jobstore.schedules import ScheduleSpec
from jobstore.schema import ItemRef, JobId, JobSpec
from jobstore.store import JobStore
from producer.direct import Direct
from producer.errors import ExportFailed, FormatUnsuitable
from producer.export_work import ExportMaker, Writer
from producer.exporting import export_job
from producer.exports import ExportSummary
from producer.gate_work import Watchman
from producer.housekeeping import Housekeeper
from producer.jobfile import parse_job
from producer.pruning import Pruner
from producer.scheduling import Scheduler
from producer.webhooks import Sender
from tests.fixtures.fleet import wait_until
from tests.fixtures.hooks import Receiver, client, receiving
from tests.fixtures.jobs import add, lease_next, ok, run_to_end, write
from tests.fixtures.nightly import YEARLY, lose_claims, make_due


class Killed(BaseException):
    """As SIGKILL: nothing of ours catches it."""


class DiesAtSubmit(Direct):
    """A process that ends right before, or right after, its submit is committed."""

    when = "after"

    def submit(self, spec: JobSpec, items: Iterable[ItemRef]) -> JobId:
        if self.when == "after":
            super().submit(spec, items)
        raise Killed


@pytest.fixture
def store(sqlite_url: str) -> Iterator[JobStore]:
    with JobStore.open(sqlite_url) as opened:
        opened.create_schema()
        yield opened


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def keeper(
    store: JobStore, owner: str = "one", *, gateway: Direct | None = None, write: Writer = export_job
) -> Housekeeper:
    gateway = gateway or Direct(store, MuteDoorbell())
    sender = Sender(store, client(), {})
    exporter = ExportMaker(store, gateway, owner, write)
    return Housekeeper(Scheduler(store, gateway, owner), sender, exporter, Watchman(store, owner))


def test_old_files_go_beside_the_other_work(store: JobStore, tmp_path: Path) -> None:
    old = tmp_path / "uploads" / "yard" / f"{'a' * 64}.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    assert keeper(store).tick() == 0
    assert replace(keeper(store), pruner=Pruner(store, tmp_path, uploads_kept_s=60.0)).tick() == 1
    assert not old.exists()


def nightly(photos: Path, **more: object) -> ScheduleSpec:
    job = {"name": "yard", "schedule": {"cron": YEARLY}, "source": str(photos), "model": "digits", **more}
    return parse_job(job).schedule_spec()


def due(store: JobStore, spec: ScheduleSpec) -> str:
    schedule, _ = store.schedules.apply(spec)
    make_due(store, schedule)
    return schedule.schedule_id


def test_a_due_schedule_becomes_a_job_and_its_end_an_export_and_a_message(
    store: JobStore, photos: Path, tmp_path: Path, receiver: Receiver
) -> None:
    output = {"uri": f"{tmp_path}/labels", "formats": ["jsonl"]}
    schedule_id = due(store, nightly(photos, output=output, notify=[{"webhook": receiver.url}]))
    housekeeper = keeper(store)
    assert housekeeper.tick() == 1
    (run,) = store.schedules.runs(schedule_id)
    (job,) = store.jobs()
    assert (run.state, run.job_id, job.name, job.total) == (RunState.SUBMITTED, job.job_id, "yard", 2)
    store.relay.forget_hints()  # nobody listened when they were sent
    run_to_end(store)
    housekeeper.tick()
    assert json.loads((tmp_path / "labels/manifest.json").read_text())["job"]
    assert json.loads(receiver.got[0][1])["job"]["id"] == job.job_id
    assert housekeeper.tick() == 0


def test_many_housekeepers_at_once_make_one_job_a_time(store: JobStore, photos: Path) -> None:
    due(store, nightly(photos))
    barrier = threading.Barrier(4)

    def keep(owner: str) -> None:
        housekeeper = keeper(store, owner)
        barrier.wait()
        housekeeper.tick()

    threads = [threading.Thread(target=keep, args=(f"{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.jobs()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_submitter_killed_at_its_submit_leaves_one_job(store: JobStore, photos: Path, when: str) -> None:
    schedule_id = due(store, nightly(photos))
    dying = DiesAtSubmit(store, MuteDoorbell())
    dying.when = when
    with pytest.raises(Killed):
        keeper(store, "dead", gateway=dying).tick()
    keeper(store, "early").tick()
    assert [run.state for run in store.schedules.runs(schedule_id)] == [RunState.CLAIMED]
    lose_claims(store)
    keeper(store, "heir").tick()
    assert [run.state for run in store.schedules.runs(schedule_id)] == [RunState.SUBMITTED]
    assert len(store.jobs()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_exporter_killed_at_its_export_leaves_one(store: JobStore, tmp_path: Path, when: str) -> None:
    job_id = add(store, 2, output=Output(str(tmp_path / "labels"), ("jsonl",)))
    run_to_end(store)

    def dying(*asked: Any) -> list[ExportSummary]:
        if when == "after":
            export_job(*asked)
        raise Killed

    with pytest.raises(Killed):
        keeper(store, "dead", write=dying).tick()
    assert keeper(store, "early").tick() == 0
    lose_claims(store)
    assert keeper(store, "heir").tick() == 1
    (request,) = store.exports.of_job(job_id)
    assert (request.state, request.tries) == (ExportState.DONE, 2)
    assert request.summary[0]["items"] == 2


def test_a_schedule_that_cannot_be_submitted_does_not_stop_the_others(store: JobStore, photos: Path) -> None:
    gone = due(store, nightly(photos / "gone", name="a-gone"))
    broken, _ = store.schedules.apply(ScheduleSpec("b-broken", {"source": 3}, YEARLY))
    make_due(store, broken)
    good = due(store, nightly(photos, name="c-good"))
    keeper(store).tick()
    states = {key: store.schedules.runs(key)[0] for key in (gone, broken.schedule_id, good)}
    assert [run.state for run in states.values()] == [RunState.FAILED, RunState.FAILED, RunState.SUBMITTED]
    assert "no such folder or file" in (states[gone].message or "")
    assert "source" in (states[broken.schedule_id].message or "")


def test_dates_are_those_of_the_due_time_in_the_schedules_zone(store: JobStore, tmp_path: Path) -> None:
    spec = parse_job(
        {
            "name": "yard",
            "schedule": {"cron": "0 1 1 6 *", "timezone": "Pacific/Kiritimati"},  # 14 hours before UTC
            "source": f"{tmp_path}/{{date:%Y}}",
            "model": "digits",
            "output": {"uri": "s3://labels/{date:%z}"},
        }
    )
    request = spec.request(parse_moment("2026-12-31T11:00:00+00:00", "Pacific/Kiritimati"))
    assert request.output == Output("s3://labels/+1400")


def parse_moment(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(ZoneInfo(zone))


def test_an_export_that_cannot_be_says_why(store: JobStore, tmp_path: Path) -> None:
    job_id = add(store, 1, output=Output(str(tmp_path / "labels"), ("jsonl",), {"min_confidence": 7}))
    run_to_end(store)
    keeper(store).tick()
    (request,) = store.exports.of_job(job_id)
    assert request.state is ExportState.FAILED
    assert "min_confidence is 7" in (request.message or "")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ExportFailed("the disk is full"), ExportState.PENDING),
        (StoreUnavailable("the database is away"), ExportState.PENDING),
        (OSError("a cable was pulled"), ExportState.PENDING),
        (FormatUnsuitable("no boxes"), ExportState.FAILED),
        (TypeError("no such option"), ExportState.FAILED),
    ],
    ids=["disk", "database", "unforeseen", "format", "option"],
)
def test_an_export_is_tried_again_where_that_may_help(
    store: JobStore, tmp_path: Path, error: Exception, state: ExportState
) -> None:
    job_id = add(store, 1, output=Output(str(tmp_path / "labels"), ("jsonl",)))
    run_to_end(store)

    def failing(*_: Any) -> list[ExportSummary]:
        raise error

    keeper(store, write=failing).tick()
    (request,) = store.exports.of_job(job_id)
    assert (request.state, request.tries) == (state, 1)
    assert str(error) in (request.message or "")


def test_a_long_export_keeps_its_claim(store: JobStore, tmp_path: Path) -> None:
    job_id = add(store, 1, output=Output(str(tmp_path / "labels"), ("jsonl",)))
    run_to_end(store)
    released = threading.Event()

    def slow(*asked: Any) -> list[ExportSummary]:
        released.wait(60)
        return export_job(*asked)

    maker = ExportMaker(store, Direct(store, MuteDoorbell()), "slow", slow, lease_s=0.9)
    thread = threading.Thread(target=maker.make_due)
    thread.start()
    try:
        wait_until(lambda: store.exports.of_job(job_id)[0].state == ExportState.RUNNING)
        lose_claims(store)  # the next renewal makes good
        first = store.exports.of_job(job_id)[0]
        wait_until(lambda: store.exports.renew(first, 5), 10)
        assert keeper(store, "other").exporter.make_due() == 0
    finally:
        released.set()
        thread.join()
    assert store.exports.of_job(job_id)[0].state is ExportState.DONE


def test_a_long_export_holds_up_no_message(store: JobStore, tmp_path: Path, receiver: Receiver) -> None:
    add(store, 1, output=Output(str(tmp_path / "labels"), ("jsonl",)), webhooks=(Webhook(receiver.url),))
    run_to_end(store)
    released, stop = threading.Event(), threading.Event()

    def slow(*asked: Any) -> list[ExportSummary]:
        released.wait(60)
        return export_job(*asked)

    thread = threading.Thread(target=keeper(store, write=slow).run, args=(stop, 0.02))
    thread.start()
    try:
        wait_until(lambda: store.outbox.counts().get(DeliveryState.DELIVERED) == 1, 30)
    finally:
        released.set()
        stop.set()
        thread.join()
    assert len(receiver.got) == 1


def test_a_night_with_nothing_in_it_fails_its_gates_and_the_next_is_held_against_the_good_one(
    store: JobStore, photos: Path, receiver: Receiver
) -> None:
    notify = [{"webhook": receiver.url, "on": ["gates_failed"]}]
    spec = nightly(photos, gates={"min_images": 1, "speed_share": None}, notify=notify)
    housekeeper = keeper(store)

    def night(objects: int) -> str | None:
        due(store, spec)
        housekeeper.tick()
        store.relay.forget_hints()  # nobody listened when they were sent
        lease = lease_next(store)
        write(store, lease, [ok(item.idx, objects) for item in lease.items], finished=True)
        housekeeper.tick()
        return store.jobs()[0].gates

    nights = [night(3), night(3), night(0), night(0), night(3)]
    assert nights == ["passed", "passed", "failed", "failed", "passed"]
    good = [job.job_id for job in reversed(store.jobs()) if job.gates == "passed"]
    last = store.verdicts.of_job(JobId(good[-1]))
    assert last is not None
    assert last.report is not None
    assert last.report["compared_with"] == good[-2::-1]
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["job.gates_failed"] * 2
    assert set(json.loads(receiver.got[0][1])["gates"]["failed"]) == {"empty_rate", "objects_per_image"}


def test_a_job_that_cannot_be_judged_does_not_stop_the_others(store: JobStore) -> None:
    broken, good = add(store, 1, gates={"no_such_gate": 1}), add(store, 1, gates={})
    run_to_end(store)
    assert keeper(store).tick() == 1
    verdict = store.verdicts.of_job(broken)
    assert verdict is not None
    assert "no_such_gate" in (verdict.message or "")
    assert (store.status(broken).gates, store.status(good).gates) == ("pending", "passed")
