"""What `Producer.submit` says of the time after a job: who is told, what is exported, what it is held against."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobstore.aftercare import SHELF, Output, Webhook, WebhookEvent
from jobstore.errors import InvalidJob

if TYPE_CHECKING:
    from producer.request import JobOptions


def webhooks_of(options: JobOptions) -> tuple[Webhook, ...]:
    """Give the receivers that the options name.

    Raises:
        InvalidJob: a field or an event that is none.
    """
    plain = options.get("webhook")
    given = (*(() if plain is None else ({"url": plain},)), *options.get("webhooks", ()))
    return tuple(each if isinstance(each, Webhook) else _webhook(each) for each in given)


def output_of(options: JobOptions) -> Output | None:
    """Give what the options want exported; a folder is made absolute, since others write it.

    Raises:
        InvalidJob: an option or a format that is none.
    """
    given = options.get("output")
    if given is None or isinstance(given, Output):
        return given
    from producer.exports import ExportOptions, find_format

    try:
        fields = dict(given)
        dest, formats = fields.pop("dest", None), tuple(fields.pop("formats", ()))
        ExportOptions(**fields)
    except (TypeError, ValueError) as error:
        known = ", ".join(("dest", "formats", *ExportOptions.__dataclass_fields__))
        raise InvalidJob(f"output {given!r}: {error}; expected some of {known}") from error
    for name in formats:
        find_format(name)
    return Output(SHELF if dest is None else _absolute(os.fspath(dest)), formats, fields)


def gates_of(options: JobOptions) -> Mapping[str, Any] | None:
    """Give the limits that the job is judged by at its end; None: it is not judged.

    Raises:
        InvalidJob: a limit that is none, or that cannot be.
    """
    given = options.get("gates")
    if given is None:
        return None
    from producer.judging.gates import GateLimits

    try:
        return (given if isinstance(given, GateLimits) else GateLimits(**given)).unusual()
    except (TypeError, ValueError) as error:
        known = ", ".join(GateLimits.__dataclass_fields__)
        raise InvalidJob(f"gates {given!r}: {error}; expected some of {known}, or {{}} for the usual limits") from error


def _webhook(given: Mapping[str, Any]) -> Webhook:
    try:
        fields = dict(given)
        if "on" in fields:
            fields["on"] = tuple(WebhookEvent(name) for name in fields["on"])
        return Webhook(**fields)
    except (TypeError, ValueError) as error:
        events = ", ".join(WebhookEvent)
        raise InvalidJob(f"a webhook: {error}; expected url, secret_env and on, of {events}") from error


def _absolute(dest: str) -> str:
    return dest if "://" in dest else str(Path(dest).expanduser().absolute())
