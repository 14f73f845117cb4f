"""What a worker machine is told; built once at the edge and handed to each process as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fetching.policy import FetchPolicy


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Everything that a launcher and its processes need to know.

    Attributes:
        database_url: SQLAlchemy URL of the job store.
        broker_url: Celery URL of Redis; `redis+socket:///path` for a unix socket.
        hardware: classes joined by commas: `auto` (each GPU, or the CPU), `cpu`, `gpu-any`, `gpu-sm90` ...
        cpu_processes: worker processes on the CPU; the cores are divided between them.
        models: consume queues of these models only; empty: of all.
        model_bytes: memory that the open models of a process may take; 0: a share of the device's.
        model_dirs: folders whose sub-folders are models, searched by id.
        cache_dir: folder of packages fetched from providers; empty: no provider is asked.
        cache_max_bytes: above it, the least recently used of them go.
        weights_provider: who knows plain model ids; None: the models folders.
        api_keys: provider -> key.
        offline: use what was fetched, and ask no provider.
        models_private_hosts: hosts of models that may have addresses in a private network.
        trust: sha256 of packages that may be opened although they can run code; true: all but those with Python.
        allow_local_code_packages: packages with Python code of their own may run.
        concurrency: shards a process works on at a time.
        max_wait_ms: how long the first image of a batch waits for others.
        lease_s: seconds after its last sign of life that a shard is taken from a worker.
        relay_interval_s: seconds between two ticks of the relay.
        resend_after_s: age at which a hint that is no longer in Redis is sent again.
        window: hints a queue holds in Redis at most.
        max_deaths: lost workers after which a shard is split, and an item given up that two of them had alone.
        item_attempts: tries of an item that fails for a reason that may pass.
        item_timeout_s: limit of one stage of one item outside the model: fetch, decode, preprocess, postprocess.
        forward_timeout_s: limit of one run of the model.
        open_timeout_s: limit of loading a model once it was fetched.
        open_retry_s: how long a model whose provider is away is waited for.
        drain_s: seconds that SIGTERM leaves to finish or give back shards.
        draft_expires_s: age of a draft's last part after which it is given up.
        result_cache_bytes: above it, the least recently used results of earlier runs go.
        records_kept_s: how long webhooks that were sent, exports that were made and workers that ended are remembered.
        max_image_bytes: larger files are refused before they are read.
        max_image_pixels: larger pictures are refused before they are decoded.
        fetch: what items are read from: folders, hosts, buckets.
        metrics_host: address on which the launcher serves numbers and health.
        metrics_port: its port; 0: they are not served.
        log_level: of the standard library's logging.
        log_format: `console` or `json`.
    """

    database_url: str
    broker_url: str
    hardware: str = "auto"
    cpu_processes: int = 1
    models: tuple[str, ...] = ()
    model_bytes: int = 0
    model_dirs: tuple[str, ...] = ()
    cache_dir: str = ""
    cache_max_bytes: int = 50 * 2**30
    weights_provider: str | None = None
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    offline: bool = False
    models_private_hosts: tuple[str, ...] = ()
    trust: tuple[str, ...] | bool = False
    allow_local_code_packages: bool = False
    concurrency: int = 4
    max_wait_ms: float = 10.0
    lease_s: float = 60.0
    relay_interval_s: float = 1.0
    resend_after_s: float = 5.0
    window: int = 32
    max_deaths: int = 3
    item_attempts: int = 3
    item_timeout_s: float = 60.0
    forward_timeout_s: float = 120.0
    open_timeout_s: float = 900.0
    open_retry_s: float = 3600.0
    drain_s: float = 25.0
    draft_expires_s: float = 86_400.0
    result_cache_bytes: int = 2 * 2**30
    records_kept_s: float = 30 * 86_400.0
    max_image_bytes: int = 256 * 2**20
    max_image_pixels: int = 50_000_000
    fetch: FetchPolicy = field(default_factory=FetchPolicy)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9464
    log_level: str = "INFO"
    log_format: str = "console"
