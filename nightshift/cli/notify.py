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
