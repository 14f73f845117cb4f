"""`nightshift notify`: whether receivers of webhooks get what they should."""

from __future__ import annotations

import time

import click

from jobstore.aftercare import WebhookEvent
from jobstore.ids import new_id
from jobstore.outbox import DeliveryState, message
from nightshift.cli.errors import ERROR
from nightshift.cli.output import json_option, moment, print_json, print_rows, say
from nightshift.settings import load_settings
from nightshift.stack import open_client, open_store
from producer.ending import short

#: Messages about one job that are sent again at a time.
_MOST = 10_000


@click.group()
def notify() -> None:
    """Try a receiver of webhooks, and list what was sent."""


@notify.command()
@click.argument("url")
@click.option("--secret-env", metavar="NAME", help="Variable here that holds the signing secret.")
@json_option
def test(url: str, secret_env: str | None, as_json: bool) -> int:
    """Send one message of the type `test` from here, and say what the receiver answered."""
    from nightshift.housekeeping import sender

    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"{url!r} is no address; expected http:// or https://")
    settings = load_settings()
    delivery_id = new_id()
    body = message(delivery_id, WebhookEvent.TEST, time.time(), {"message": "nightshift notify test"})
    with open_client(settings) as stack, sender(settings, stack.store) as sending:
        answer = sending.post(url, delivery_id, body, secret_env)
    is_taken = 200 <= answer.status < 300
    if as_json:
        print_json({"id": delivery_id, "status": answer.status, "is_taken": is_taken})
    else:
        say("taken" if is_taken else "refused", f"the receiver answered {answer.status}; 2xx means that it was taken")
    return 0 if is_taken else ERROR


@notify.command("ls")
@click.option("--job", help="Only messages about this job.")
@click.option("--state", "states", multiple=True, type=click.Choice(list(DeliveryState)), help="Only in this state.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Messages at most.")
@json_option
def list_deliveries(job: str | None, states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List messages, the newest first, with what their receivers answered."""
    with open_store(load_settings()) as store:
        job_id = None if job is None else store.find_job(job)
        wanted = [DeliveryState(state) for state in states]
        found = store.outbox.list(job_id=job_id, states=wanted, limit=limit)
    if as_json:
        for each in found:
            print_json(each)
        return
    print_rows(("created", "event", "job", "state", "tries", "answer", "receiver", "trouble"), [
        (moment(each.created), each.event, short(each.job_id) if each.job_id else "", each.state, str(each.tries),
         str(each.last_status or ""), each.url, each.last_error or "")
        for each in found
    ])  # fmt: skip


@notify.command("retry")
@click.argument("messages", nargs=-1, metavar="[MESSAGE...]")
@click.option("--job", help="All messages about this job that were given up.")
@json_option
def retry(messages: tuple[str, ...], job: str | None, as_json: bool) -> None:
    """Send messages again that no receiver took; `notify ls --json` has their ids."""
    if not messages and job is None:
        raise click.UsageError("name messages, or a job with --job")
    with open_store(load_settings()) as store:
        given_up = () if job is None else store.outbox.list(
            job_id=store.find_job(job), states=(DeliveryState.GIVEN_UP,), limit=_MOST
        )  # fmt: skip
        wanted = [*messages, *(each.delivery_id for each in given_up)]
        again = {delivery_id: store.outbox.resend(delivery_id) for delivery_id in wanted}
    if as_json:
        for delivery_id, is_changed in again.items():
            print_json({"id": delivery_id, "is_changed": is_changed})
        return
    say("again", f"{sum(again.values())} of {len(again)} messages are sent now; the others were taken before")
