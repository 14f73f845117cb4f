"""The outbox: a message for each receiver of each event, once, and sent by one sender at a time."""

import json

import pytest
from sqlalchemy import Connection, update

from jobstore import outbox
from jobstore.aftercare import Webhook, WebhookEvent
from jobstore.errors import DeliveryNotFound
from jobstore.leases import lease_shard
from jobstore.outbox import DeliveryState
from jobstore.schema import JobId
from jobstore.service_tables import webhook_deliveries
from jobstore.store import JobStore
from tests.fixtures.jobs import ALICE, LEASE_S, OVER_S, add, failed, finish, lease_next, ok, run_to_end, write
from tests.fixtures.nightly import lose_claims

EVERYTHING = (Webhook("https://hooks.example/x", "HOOK_SECRET", tuple(WebhookEvent)),)
URL = "https://hooks.example/x"
DAY_S = 86_400.0


def events(store: JobStore) -> list[str]:
    return [each.event for each in reversed(store.outbox.list())]


def test_a_job_tells_of_its_start_and_its_end(store: JobStore) -> None:
    job_id = add(store, 2, webhooks=EVERYTHING, name="yard")
    finish(store, lease_next(store))
    started, finished = reversed(store.outbox.list())
    assert (started.event, finished.event) == ("job.started", "job.finished")
    assert (finished.url, finished.secret_env, finished.state) == (URL, "HOOK_SECRET", "pending")
    body = json.loads(finished.body)
    assert body["id"] == finished.delivery_id
    assert body["type"] == "job.finished"
    assert body["job"] | {"links": {}, "counts": {}} == {
        "id": job_id, "name": "yard", "state": "completed", "reason": None, "message": None, "model": "digits",
        "tags": {}, "counts": {}, "links": {},
    }  # fmt: skip
    assert body["job"]["counts"]["ok"] == body["job"]["counts"]["total"] == 2


def test_a_job_without_receivers_tells_nobody(store: JobStore) -> None:
    add(store, 2)
    run_to_end(store)
    assert store.outbox.list() == []


def test_a_receiver_gets_what_it_asked_for(store: JobStore) -> None:
    add(store, 1, webhooks=(Webhook(URL, on=(WebhookEvent.FAILED,)), Webhook(URL + "/2", on=(WebhookEvent.FINISHED,))))
    run_to_end(store)
    assert [(each.url, each.event) for each in store.outbox.list()] == [(URL + "/2", "job.finished")]


def test_a_job_that_ends_over_its_limit_tells_both(store: JobStore) -> None:
    add(store, 2, webhooks=EVERYTHING)
    lease = lease_next(store)
    write(store, lease, [ok(0), failed(1)], finished=True)
    assert events(store) == ["job.started", "job.finished", "job.over_failure_rate"]


def test_a_job_that_is_stopped_by_failures_tells_both(store: JobStore) -> None:
    add(store, 8, webhooks=EVERYTHING, max_failures=0)
    write(store, lease_next(store), [failed(0)])
    store.relay.judge_jobs()
    store.relay.judge_jobs()
    assert events(store) == ["job.started", "job.needs_attention", "job.over_failure_rate"]


@pytest.mark.parametrize(
    ("end", "event"),
    [
        pytest.param(lambda store, job_id: store.cancel(job_id), "job.finished", id="cancelled"),
        pytest.param(lambda store, job_id: store.fail_job(job_id, "no_backend", "none"), "job.failed", id="failed"),
    ],
)
def test_an_early_end_is_told_once(store: JobStore, end: object, event: str) -> None:
    job_id = add(store, 2, webhooks=EVERYTHING)
    assert callable(end)
    end(store, job_id)
    end(store, job_id)
    assert events(store) == [event]


def finished_job(store: JobStore) -> JobId:
    job_id = add(store, 1, webhooks=(Webhook(URL),))
    run_to_end(store)
    return job_id


def test_a_message_is_sent_by_one_at_a_time(store: JobStore) -> None:
    finished_job(store)
    (held,) = store.outbox.claim(10, LEASE_S)
    assert store.outbox.claim(10, LEASE_S) == []
    assert store.outbox.delivered(held, 204)
    lose_claims(store)
    assert store.outbox.claim(10, LEASE_S) == []
    (stored,) = store.outbox.list()
    assert (stored.state, stored.last_status, stored.tries) == (DeliveryState.DELIVERED, 204, 1)


def test_messages_about_one_job_are_claimed_alone(store: JobStore) -> None:
    _, mine = (add(store, 1, webhooks=(Webhook(URL),)) for _ in range(2))
    run_to_end(store)
    assert [each.job_id for each in store.outbox.claim(9, LEASE_S, mine)] == [mine]
    assert store.outbox.claim(9, LEASE_S, mine) == []
    assert len(store.outbox.claim(9, LEASE_S)) == 1


def test_a_sender_who_died_is_replaced_and_its_note_changes_nothing(store: JobStore) -> None:
    finished_job(store)
    (dead,) = store.outbox.claim(10, LEASE_S)
    lose_claims(store)
    (heir,) = store.outbox.claim(10, LEASE_S)
    assert heir.delivery_id == dead.delivery_id
    assert not store.outbox.failed(dead, 500, "late", None)
    assert store.outbox.delivered(heir, 200)


def test_what_was_not_taken_comes_back_when_it_is_due(store: JobStore) -> None:
    finished_job(store)
    (held,) = store.outbox.claim(10, LEASE_S)
    assert store.outbox.failed(held, 503, "busy\0", retry_s=3600)
    assert store.outbox.claim(10, LEASE_S) == []
    lose_claims(store)
    (again,) = store.outbox.claim(10, LEASE_S)
    assert (again.tries, again.last_status, again.last_error) == (2, 503, "busy\\0")
    assert store.outbox.failed(again, 410, "gone", retry_s=None)
    assert store.outbox.counts() == {DeliveryState.GIVEN_UP: 1}


def test_messages_are_listed_by_job_and_tenant(store: JobStore) -> None:
    job_id = finished_job(store)
    assert len(store.outbox.list(job_id=job_id, tenant="default", states=(DeliveryState.PENDING,))) == 1
    assert store.outbox.list(tenant="other") == []
    assert store.outbox.list(job_id=JobId("none")) == []


def test_what_is_rolled_back_was_never_told(store: JobStore) -> None:
    add(store, 2, webhooks=EVERYTHING)
    hint = store.release(1)[0]

    def start_and_fail(db: Connection) -> None:
        assert lease_shard(db, hint.shard_id, hint.attempt, ALICE, LEASE_S) is not None
        raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        store._db.write(start_and_fail)
    assert store.outbox.list() == []


def test_messages_are_listed_page_by_page_and_sent_again(store: JobStore) -> None:
    receivers = tuple(Webhook(f"{URL}/{number}", on=(WebhookEvent.FINISHED,)) for number in range(3))
    add(store, 1, webhooks=receivers)
    run_to_end(store)
    whole = store.outbox.list()
    first = store.outbox.list(limit=2)
    rest = store.outbox.list(limit=2, before=(first[-1].created, first[-1].delivery_id))
    assert [each.delivery_id for each in (*first, *rest)] == [each.delivery_id for each in whole]
    (claimed,) = store.outbox.claim(1, LEASE_S)
    store.outbox.failed(claimed, 500, "the receiver answered 500", None)
    with pytest.raises(DeliveryNotFound):
        store.outbox.resend(claimed.delivery_id, "another tenant")
    assert store.outbox.resend(claimed.delivery_id, "default")
    again = next(each for each in store.outbox.claim(3, LEASE_S) if each.delivery_id == claimed.delivery_id)
    assert again.tries == 2
    assert store.outbox.delivered(again, 200)
    assert not store.outbox.resend(claimed.delivery_id)


def test_messages_that_ended_long_ago_are_removed_and_none_that_is_to_be_sent(store: JobStore) -> None:
    run_to_end_of_three(store)
    delivered, given_up, waiting = store.outbox.claim(3, OVER_S)
    assert store.outbox.delivered(delivered, 204)
    assert store.outbox.failed(given_up, 500, "no", None)

    assert store.outbox.prune(DAY_S) == 0
    grow_old(store, 2 * DAY_S)
    assert store.outbox.prune(DAY_S) == 2

    assert [each.delivery_id for each in store.outbox.list()] == [waiting.delivery_id]


def test_one_transaction_removes_a_bounded_number_of_messages(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PRUNED_AT_ONCE", 2)
    run_to_end_of_three(store)
    for each in store.outbox.claim(3, LEASE_S):
        store.outbox.delivered(each, 204)
    grow_old(store, 2 * DAY_S)

    assert [store.outbox.prune(DAY_S) for _ in range(3)] == [2, 1, 0]


def run_to_end_of_three(store: JobStore) -> None:
    """Three jobs, each with a message of its end."""
    for _ in range(3):
        add(store, 1, webhooks=(Webhook(URL, on=(WebhookEvent.FINISHED,)),))
    run_to_end(store)


def grow_old(store: JobStore, seconds: float) -> None:
    change = update(webhook_deliveries).values(next_at=webhook_deliveries.c.next_at - seconds)
    store._db.write(lambda db: db.execute(change))
