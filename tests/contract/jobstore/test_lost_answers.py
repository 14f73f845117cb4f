"""Whatever a COMMIT's reply is lost for is done once, and told as if it had come; see also `test_outages`."""

from dataclasses import replace

from jobstore.aftercare import Output, Webhook, WebhookEvent
from jobstore.schedules import Applied, ScheduleSpec, ScheduleState
from jobstore.schema import JobId, QuarantinedMessage, WorkerId
from jobstore.store import JobStore
from jobstore.tokens import TokenWish
from jobstore.views import GateState
from tests.fixtures.jobs import LEASE_S, add, run_to_end
from tests.fixtures.nightly import YEARLY, apply


def test_a_run_of_a_schedule_is_asked_for_once(store: JobStore, lose_answers) -> None:
    schedule = apply(store, cron=YEARLY)
    lose_answers(2)

    due = store.schedules.run_now("yard")

    assert [run.due for run in store.schedules.runs(schedule.schedule_id)] == [due]


def test_a_schedule_that_is_applied_says_what_became_of_it(store: JobStore, lose_answers) -> None:
    spec = ScheduleSpec(name="yard", job={"source": "/pictures", "model": "digits"}, cron=YEARLY)

    lose_answers(2)
    assert store.schedules.apply(spec)[1] is Applied.CREATED
    assert store.schedules.apply(spec)[1] is Applied.UNCHANGED
    lose_answers()
    assert store.schedules.apply(replace(spec, cron="* * * * *"))[1] is Applied.CHANGED


def test_a_message_that_is_set_aside_stands_there_once(store: JobStore, lose_answers) -> None:
    lose_answers()
    store.fleet.quarantine(QuarantinedMessage("q", "malformed", "no JSON", "{", 1, WorkerId("one")))

    assert [row.message for row in store.fleet.quarantined()] == ["no JSON"]


def test_a_schedule_that_is_paused_resumed_and_removed(store: JobStore, lose_answers) -> None:
    apply(store, cron=YEARLY)

    lose_answers()
    assert store.schedules.pause("yard")
    assert store.schedules.get("yard").state is ScheduleState.PAUSED
    lose_answers()
    assert store.schedules.resume("yard")
    lose_answers(2)
    store.schedules.remove("yard")
    assert store.schedules.list() == []


def test_a_claimed_run_is_noted(store: JobStore, lose_answers) -> None:
    apply(store, cron=YEARLY)
    store.schedules.run_now("yard")
    held = store.schedules.claim("one", LEASE_S)
    assert held is not None

    lose_answers()
    assert store.schedules.renew(held, LEASE_S)
    lose_answers()
    assert store.schedules.submitted(held, JobId("0" * 32))
    assert not store.schedules.submitted(held, JobId("0" * 32))


def test_an_export_that_is_made_or_fails(store: JobStore, lose_answers) -> None:
    for _ in range(2):
        store.exports.ask(add(store, 1), Output("/labels/yard", ("coco",), {}))
    made, failed = (store.exports.claim(owner, LEASE_S) for owner in ("one", "two"))
    assert made is not None
    assert failed is not None

    lose_answers()
    assert store.exports.renew(made, LEASE_S)
    lose_answers()
    assert store.exports.done(made, ())
    lose_answers()
    assert store.exports.failed(failed, "no disk", retry_s=None)
    assert not store.exports.done(failed, ())


def test_a_message_that_is_delivered_or_sent_again(store: JobStore, lose_answers) -> None:
    add(store, 1, webhooks=(Webhook("https://hooks.example/x", on=(WebhookEvent.STARTED, WebhookEvent.FINISHED)),))
    run_to_end(store)
    first, second = store.outbox.claim(2, LEASE_S)

    lose_answers()
    assert store.outbox.delivered(first, 204)
    lose_answers()
    assert store.outbox.failed(second, 410, "gone", retry_s=None)
    lose_answers()
    assert store.outbox.resend(second.delivery_id)


def test_a_verdict_that_is_made_and_accepted(store: JobStore, lose_answers) -> None:
    job_id = add(store, 1, gates={"min_images": 1})
    run_to_end(store)
    held = store.verdicts.claim("one", LEASE_S)
    assert held is not None

    lose_answers()
    assert store.verdicts.judged(held, {"images": 1}, {}, {"empty_rate": "too high"})
    lose_answers()
    assert store.verdicts.accept(job_id)
    assert store.status(job_id).gates is GateState.ACCEPTED
    kinds = [event.kind for event in store.events(job_id)]
    assert (kinds.count("gates_failed"), kinds.count("gates_accepted")) == (1, 1)


def test_a_token_that_is_made_and_taken_back(store: JobStore, lose_answers) -> None:
    lose_answers(2)
    row, token = store.tokens.add(TokenWish("laptop"))

    assert store.tokens.find(token) is not None
    lose_answers()
    assert store.tokens.revoke(row.token_id)
    assert store.tokens.find(token) is None
