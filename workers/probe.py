"""Asking a launcher of this machine how it is, without loading anything heavy."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Literal

#: Seconds that a launcher has to answer; a database that is away takes it three of them.
TIMEOUT_S = 8.0
#: Addresses that mean "all of mine" cannot be connected to everywhere.
_MINE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not bound to)


@dataclass(frozen=True, slots=True)
class Probed:
    """What a launcher said of itself: `ok`, `failing`, or `silent` where nobody answered."""

    state: Literal["ok", "failing", "silent"]
    found: str


def probe(host: str, port: int, path: Literal["/healthz", "/readyz"]) -> Probed:
    """Ask; an exporter that is turned off (port 0) is silent."""
    if not port:
        return Probed("silent", "the exporter is off: set NIGHTSHIFT_WORKER__METRICS_PORT")
    host = _MINE.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        checks = json.loads(answer.read())["checks"]
        words = "; ".join(f"{name}: {found}" for name, found in checks.items())
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return Probed(
            "silent", f"no launcher answers on {host}:{port} ({error}): is `nightshift worker start` running?"
        )
    finally:
        connection.close()
    return Probed("ok" if answer.status == 200 else "failing", words)
