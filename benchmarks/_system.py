"""The running system that several benchmarks measure: Redis, SQLite, one worker machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobstore.dispatch import Doorbell
from jobstore.store import JobStore
from nightshift.embedded import EmbeddedRedis
from producer.direct import Direct
from workers.config import WorkerConfig
from workers.launch import Launcher

MODELS = Path(__file__).resolve().parents[1] / "models"
DIGITS = MODELS / "digits/onnx-fp32"


@dataclass(frozen=True)
class RunningSystem:
    """Who submits and waits, and who works."""

    producer: Direct
    launcher: Launcher
    store: JobStore
    doorbell: Doorbell


@contextmanager
def running_system(folder: Path, relay_interval_s: float = 1.0, model_bytes: int = 0) -> Iterator[RunningSystem]:
    """Start everything in a folder, and end it; `model_bytes` is what open models may take, 0 a share of the memory."""
    url = f"sqlite:///{folder}/bench.db"
    with JobStore.open(url) as store, EmbeddedRedis() as redis:
        store.create_schema()
        launcher = Launcher(
            WorkerConfig(
                url,
                redis.url,
                model_dirs=(str(MODELS),),
                model_bytes=model_bytes,
                log_level="WARNING",
                relay_interval_s=relay_interval_s,
            )
        )
        launcher.start()
        try:
            doorbell = Doorbell(redis.url)
            yield RunningSystem(Direct(store, doorbell), launcher, store, doorbell)
        finally:
            launcher.stop()
