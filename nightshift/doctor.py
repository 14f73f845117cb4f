"""What `nightshift doctor` looks at. Each check gives lines; none of them changes anything or raises."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nightshift.embedded import EmbeddedRedis, find_redis
from nightshift.errors import NightshiftError
from producer.machine import DATABASE_NAME

if TYPE_CHECKING:
    from inference_engine.machine import Machine
    from jobstore.store import JobStore
    from nightshift.settings import Settings

Level = Literal["ok", "warn", "fail"]

#: Least free space of the data folder that raises no warning: results of a night fit into it.
FREE_BYTES = 2 * 2**30
#: Seconds that a database has to answer.
PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: how it stands, what was looked at, what was found, what to do."""

    level: Level
    subject: str
    found: str
    hint: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Check everything, in the order in which people would."""
    from inference_engine.machine import probe_machine

    machine = probe_machine()
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: _machine(machine),
        lambda: _runtimes(machine),
        lambda: _models(settings),
        lambda: _broker(settings),
        lambda: _database(settings),
        lambda: _folder(settings),
    )
    for check in checks:
        yield from check()


def _machine(machine: Machine) -> Iterator[Finding]:
    from importlib.metadata import version

    yield Finding("ok", "python", f"{machine.python}, nightshift {version('nightshift')}")
    features = ", ".join(machine.cpu_features) or "no vector extensions known"
    memory = machine.memory_bytes / 2**30
    yield Finding("ok", "cpu", f"{machine.cpu_name}, {machine.cpu_count} cores, {memory:.0f} GiB, {features}")
    for gpu in machine.gpus:
        what = f"{gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory_bytes / 2**30:.0f} GiB"
        yield Finding("ok", "gpu", f"{what}, driver {machine.driver_version}, CUDA {machine.cuda_version}")
    if not machine.gpus:
        why = machine.problems.get("nvidia", "the driver knows no device")
        yield Finding("warn", "gpu", f"none ({why}): TensorRT and CUDA are off, models run on the CPU")


def _runtimes(machine: Machine) -> Iterator[Finding]:
    from inference_engine.backends import offers

    for name, offer in offers(machine).items():
        if offer.missing is None:
            version = f" {offer.version}" if offer.version else ""
            yield Finding("ok", "backend", f"{name}{version} on {', '.join(offer.devices)}")
        else:
            level: Level = "fail" if offer.missing.code == "broken_runtime" else "warn"
            yield Finding(level, "backend", f"{name}: {offer.missing.message}", offer.missing.hint)


def _models(settings: Settings) -> Iterator[Finding]:
    from inference_engine.providers.local import list_models

    for folder in settings.all_model_dirs:
        if not folder.is_dir():
            yield Finding("fail", "models", f"{folder} is no folder", "change NIGHTSHIFT_MODEL_DIRS")
            continue
        names = list_models([folder])
        yield Finding("ok" if names else "warn", "models", f"{', '.join(names) or 'none'} in {folder}")


def _broker(settings: Settings) -> Iterator[Finding]:
    if settings.broker_url is not None:
        yield _configured_broker(settings.broker_url)
        return
    try:
        with EmbeddedRedis() as redis:
            found = f"embedded redis {redis.version} from {find_redis()}"
    except NightshiftError as error:
        yield Finding("fail", "broker", f"{error} ({error.cause})", error.hint)
        return
    yield Finding("ok", "broker", found, "for one machine; a fleet sets NIGHTSHIFT_BROKER_URL")


def _configured_broker(url: str) -> Finding:
    from jobstore.dispatch import Doorbell
    from jobstore.errors import BrokerUnavailable

    doorbell = Doorbell(url)
    try:
        return Finding("ok", "broker", f"redis {doorbell.version()}")
    except BrokerUnavailable as error:
        return Finding("fail", "broker", str(error), "see that the Redis of NIGHTSHIFT_BROKER_URL runs")
    finally:
        doorbell.close()


def _database(settings: Settings) -> Iterator[Finding]:
    from jobstore.errors import JobStoreError, SchemaOutdated
    from jobstore.store import JobStore

    if settings.database_url is None and not (settings.data_dir / DATABASE_NAME).exists():
        yield Finding("ok", "database", f"none yet, SQLite is made in {settings.data_dir} with the first job")
        return
    kind = settings.store_url.partition(":")[0].partition("+")[0]
    with JobStore.open(settings.store_url, patience_s=PATIENCE_S) as store:
        try:
            store.check_schema()
        except SchemaOutdated as error:
            yield Finding("fail", "database", str(error), "nightshift db upgrade")
            return
        except JobStoreError as error:
            yield Finding("fail", "database", str(error), "see that the database of NIGHTSHIFT_DATABASE_URL runs")
            return
        yield Finding("ok", "database", f"{kind}, schema is this version's")
        yield from _fleet(store, is_embedded=settings.is_embedded)


def _fleet(store: JobStore, *, is_embedded: bool) -> Iterator[Finding]:
    from jobstore.views import Waiting

    running = [worker for worker in store.fleet.workers() if worker.state == "running"]
    if running:
        classes = ", ".join(sorted({name for worker in running for name in worker.serves}))
        yield Finding("ok", "workers", f"{len(running)} running, for {classes}")
    elif not is_embedded:
        yield Finding("warn", "workers", "none runs", "nightshift worker start")
    for queue in store.fleet.queues():
        if queue.waiting in (Waiting.NO_WORKER, Waiting.BROKER):
            what = f"{queue.items_left:,} images in {queue.queue} wait: {queue.reason}"
            yield Finding("warn", "queues", what, "nightshift queues")
    if set_aside := store.fleet.quarantined(limit=1):
        found = f"messages were set aside, the last one for {set_aside[0].reason}"
        yield Finding("warn", "queues", found, "nightshift queues --quarantined")


def _folder(settings: Settings) -> Iterator[Finding]:
    place = next(folder for folder in (settings.data_dir, *settings.data_dir.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    level: Level = "ok" if free >= FREE_BYTES else "warn"
    yield Finding(level, "data", f"{settings.data_dir}, {free / 2**30:.1f} GiB free")
