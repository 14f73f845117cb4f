"""What a tenant's job may ask for beside its items: who is told with whose secret, and where exports go."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fetching.errors import FetchDenied
from fetching.policy import FetchPolicy
from jobstore.aftercare import Output
from jobstore.schema import DEFAULT_TENANT, JobSpec
from producer.errors import DestinationDenied
from producer.exports import find_format
from producer.exports.bucket import is_bucket
from producer.server.reading import check_place, is_inside, is_path
from producer.shelf import Shelf

if TYPE_CHECKING:
    from producer.server.auth import Caller
    from producer.wire import DraftBody, ExportBody

#: Syntax of bucket addresses alone; which may be written is the options' to say.
_ANY_BUCKET = FetchPolicy()


def spec_of(caller: Caller, body: DraftBody, client_token: str | None) -> JobSpec:
    """Give the job that a body asks for, whose model, receivers and destination are the caller's to name.

    Raises:
        InvalidJob, FormatUnknown, FetchDenied, SourceInvalid.
    """
    if is_path(body.model):
        check_place(caller, body.model)
    for each in body.webhooks:
        check_secret(caller, each.secret_env)
    return body.spec(caller.tenant, client_token, None if body.output is None else output_of(caller, body.output))


def output_of(caller: Caller, body: ExportBody) -> Output:
    """Give what is exported to where; what has no destination stays on the server's shelf, to be fetched.

    Raises:
        FormatUnknown, DestinationDenied.
    """
    for name in body.formats:
        find_format(name)
    if body.dest is None:
        return Output(shelf_of(caller).dest, body.formats, body.options())
    check_destination(caller, body.dest)
    return Output(body.dest, body.formats, body.options())


def shelf_of(caller: Caller) -> Shelf:
    """Give where this server keeps exports."""
    return Shelf.open(caller.services.options.data_dir)


def check_destination(caller: Caller, dest: str) -> None:
    """Refuse a place that the caller's exports may not be written to.

    Raises:
        DestinationDenied.
    """
    allowed = caller.services.options.destinations_of(caller.tenant)
    if is_bucket(dest):
        try:
            _ANY_BUCKET.check_bucket(dest)
        except FetchDenied as error:
            raise DestinationDenied(str(error)) from error
        is_allowed = allowed is None or any(f"{dest.rstrip('/')}/".startswith(f"{each}/") for each in allowed)
    else:
        folders = [Path(each) for each in allowed or () if not is_bucket(each)]
        is_allowed = dest.startswith("/") and any(is_inside(dest, each) for each in folders)
    if not is_allowed:
        known = "s3://bucket/prefix" if allowed is None else ", ".join(allowed) or "none"
        raise DestinationDenied(
            f"exports are not written to {dest[:200]} from here; expected no destination, so that the server keeps "
            f"them for download, or one of those that its operator allows: {known}"
        )


def check_secret(caller: Caller, secret_env: str | None) -> None:
    """Refuse the name of a signing secret that is another tenant's.

    Raises:
        FetchDenied.
    """
    prefix = re.sub(r"[^A-Z0-9]", "_", caller.tenant.upper()) + "_"
    if caller.tenant != DEFAULT_TENANT and not (secret_env or prefix).startswith(prefix):
        raise FetchDenied(f"secret_env {secret_env} is not this tenant's; expected a name like {prefix}HOOK")
