"""From what a producer is told, or this machine's settings, to the gateway that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.machine import Machine, find_machine

if TYPE_CHECKING:
    from jobstore.dispatch import Doorbell
    from jobstore.store import JobStore
    from producer.gateway import Gateway
    from producer.sending import Files


def open_gateway(url: str | None, token: str | None, *, files: Files) -> Gateway:
    """Open the server at `url`, or else what the settings of this machine name: a server, a fleet, a data folder.

    Raises:
        SettingInvalid, SchemaOutdated, StoreUnavailable.
    """
    machine = find_machine() if url is None or token is None else None
    if url is None and machine is not None and machine.api_url is None:
        return open_direct(machine)
    from producer.remote import Remote

    known_url, known_token = (machine.api_url, machine.api_token) if machine is not None else (None, None)
    # The token of the settings belongs to the server of the settings, and is shown to no other.
    is_theirs = url is None or url == known_url
    return Remote(url or known_url or "", token or (known_token if is_theirs else None), files=files)


def open_direct(machine: Machine) -> Gateway:
    """Open the job store of this machine's settings, and Redis if one is known."""
    from jobstore.dispatch import Doorbell, MuteDoorbell
    from producer.direct import Direct
    from producer.resident import find_resident

    broker_url = machine.broker_url
    if broker_url is None and (resident := find_resident(machine.data_dir)) is not None:
        broker_url = resident.broker_url
    doorbell: Doorbell = MuteDoorbell() if broker_url is None else Doorbell(broker_url)
    return Direct(_open_store(machine), doorbell)


def _open_store(machine: Machine) -> JobStore:
    """A database in the data folder is made when it is first opened; one that was made before is only checked.

    Raises:
        SchemaOutdated: it needs `nightshift db upgrade`.
        StoreUnavailable: the database does not answer.
    """
    from jobstore.store import JobStore

    store = JobStore.open(machine.store_url)
    if machine.database_url is None and not machine.database_path.exists():
        machine.data_dir.mkdir(parents=True, exist_ok=True)
        store.create_schema()
    store.check_schema()
    return store
