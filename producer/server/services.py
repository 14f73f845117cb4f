"""What routes and pages work with, made once by whoever starts a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetching.policy import FetchPolicy
from jobstore.dispatch import Doorbell
from jobstore.store import JobStore
from producer.direct import Direct
from producer.gateway import Explanation, MeantMachine

#: Says which backend would run (model, machine, wishes); raises errors that have a `code`.
Explain = Callable[[str, MeantMachine, Mapping[str, Any]], Explanation]
#: Gives each model that is found here: `model`, `task`, `classes`, `packages`.
ListModels = Callable[[], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a server allows.

    Attributes:
        data_dir: folder of uploads and exports; servers of one fleet share it.
        needs_token: whether a request without a valid token is refused; if not, everybody is the default tenant's
            admin, which is for loopback addresses only.
        hosts: names by which a server without tokens is called; others are refused, so that no web page elsewhere can
            give its own name our address. Empty: any name.
        fetch: what sources may name; uploads are sources of their tenant anyway.
        max_body_bytes: of a request, but for uploads.
        max_upload_bytes: of one upload request with all its files.
        requests_per_s, burst: of one token, in the long run and at once.
        body_timeout_s: of one silence of a sender.
        look_s: seconds between two looks at a job that is followed.
        keep_alive_s: seconds after which a silent stream says that it is there.
        export_destinations: folders and `s3://bucket/prefix` below which jobs may have exports written, `{tenant}` for
            the caller's; None: every bucket that the credentials open, and no folder.
        uploads: `s3://bucket/prefix` that uploads go to; empty: a folder below `data_dir`.
        is_https: whether people reach the server by https, so that cookies may ask for it.
    """

    data_dir: Path
    needs_token: bool = True
    hosts: frozenset[str] = frozenset()
    fetch: FetchPolicy = field(default_factory=lambda: FetchPolicy(allowed_roots=()))
    max_body_bytes: int = 4 * 2**20
    max_upload_bytes: int = 512 * 2**20
    requests_per_s: float = 50.0
    burst: int = 200
    body_timeout_s: float = 30.0
    look_s: float = 0.5
    keep_alive_s: float = 15.0
    is_https: bool = False
    export_destinations: tuple[str, ...] | None = None
    uploads: str = ""

    def destinations_of(self, tenant: str) -> tuple[str, ...] | None:
        """Give where a tenant's exports may be written; None: every bucket, and no folder."""
        if self.export_destinations is None:
            return None
        return tuple(each.replace("{tenant}", tenant).rstrip("/") for each in self.export_destinations)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the routes; `metrics` gives numbers in Prometheus's text form."""

    producer: Direct
    store: JobStore
    doorbell: Doorbell
    options: ServerOptions
    explain: Explain
    list_models: ListModels
    metrics: Callable[[], bytes]
