"""Builds what a worker process owns from its orders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path

from fetching.fetcher import Fetcher
from inference_engine.machine import Machine, probe_machine
from inference_engine.memory import device_used_bytes, resident_bytes
from inference_engine.providers import ProviderOptions
from inference_engine.sniff import ImageLimits
from inference_engine.trust import trust_policy
from jobstore.ids import new_id
from jobstore.schema import WorkerId
from jobstore.store import JobStore
from workers.config import WorkerConfig
from workers.decisions import DecisionBook, WorkerFacts
from workers.leases import LeaseBook
from workers.media import ItemReader, MediaLimits
from workers.metrics import Meter, MeteredReader
from workers.models import ModelPool
from workers.opening import Opener
from workers.placement import Slot
from workers.results import ResultBook
from workers.shards import Runtime
from workers.turns import Turns

#: Images between reading and outcome, for each core: enough that no core waits, few enough that memory stays small.
_IN_FLIGHT_PER_CORE, _IN_FLIGHT_ON_GPU = 8, 256


def build_runtime(config: WorkerConfig, slot: Slot) -> Runtime:
    """Everything but Celery; nothing is loaded yet."""
    worker_id = WorkerId(new_id())
    store = JobStore.open(config.database_url)
    cores = max(1, len(slot.cores))
    folders = tuple(map(Path, config.model_dirs))
    measured = Path(config.cache_dir).parent / "measured" if config.cache_dir else None
    meter = Meter(slot.hardware)
    opener = Opener(
        slot.device,
        cores,
        config.max_wait_ms / 1000,
        folders,
        provider_options(config),
        measured,
        trust=trust_policy(config.trust, config.allow_local_code_packages),
        used_bytes=used_bytes(slot),
        learned_batch=lambda build: store.fleet.learned_batch(build, slot.hardware),
        meter=meter,
    )
    in_flight = _IN_FLIGHT_PER_CORE * cores if slot.device == "cpu" else _IN_FLIGHT_ON_GPU
    machine = probe_machine()
    return Runtime(
        worker_id=worker_id,
        store=store,
        models=ModelPool(opener, config.model_bytes or slot.model_bytes or None),
        media=MeteredReader(ItemReader(Fetcher(config.fetch), MediaLimits(config.max_image_bytes)), meter),
        limits=ImageLimits(max_pixels=config.max_image_pixels),
        leases=LeaseBook(store, worker_id, config.lease_s),
        decisions=DecisionBook(store, worker_id, WorkerFacts(machine, versions(machine)), meter),
        turns=Turns(
            ThreadPoolExecutor(max_workers=cores, thread_name_prefix="decode"), cores, threading.Semaphore(in_flight)
        ),
        finishers=ThreadPoolExecutor(max_workers=1, thread_name_prefix="finish"),
        lease_s=config.lease_s,
        item_attempts=config.item_attempts,
        max_deaths=config.max_deaths,
        open_retry_s=config.open_retry_s,
        results=ResultBook(store, meter),
        meter=meter,
    )


def used_bytes(slot: Slot) -> Callable[[], int]:
    """What says how much memory is in use where the slot's models are loaded."""
    if slot.visible_gpu is None:
        return resident_bytes
    return partial(device_used_bytes, slot.visible_gpu)


def provider_options(config: WorkerConfig) -> ProviderOptions:
    """What models of providers are fetched with."""
    return ProviderOptions(
        weights_provider=config.weights_provider,
        cache_dir=Path(config.cache_dir) if config.cache_dir else None,
        api_keys=config.api_keys,
        offline=config.offline,
        max_cache_bytes=config.cache_max_bytes,
    )


def versions(machine: Machine) -> dict[str, str]:
    """Of nightshift, Python, what decodes pictures, and each installed runtime."""
    own = {name: metadata.version(name) for name in ("nightshift", "numpy", "opencv-python-headless", "celery")}
    return {"python": machine.python, **own, **machine.packages}
