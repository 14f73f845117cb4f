"""What a person says about workers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode

from producer.fetch_settings import split_words


class WorkerSettings(BaseModel):
    """What workers are told; the same names and defaults as `workers.config.WorkerConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hardware: str = Field(
        default="auto",
        description="Hardware classes, joined by commas: auto (each GPU, else the CPU), cpu, gpu-any, gpu-sm90 ...",
    )
    cpu_processes: int = Field(
        default=1, ge=1, description="Worker processes on the CPU; the cores are divided between them."
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Models, joined by commas, that workers here are kept for; unset: every model."
    )
    model_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes of memory that a process's open models may take; 0: half of the machine's, 80 % of a GPU's.",
    )
    concurrency: int = Field(default=4, ge=1, description="Shards that a process works on at a time.")
    max_wait_ms: float = Field(
        default=10.0, ge=0, description="Milliseconds that the first image of a batch waits for others."
    )
    lease_s: float = Field(
        default=60.0, gt=0, description="Seconds without a sign of life after which a shard is taken away."
    )
    relay_interval_s: float = Field(default=1.0, gt=0, description="Seconds between two ticks of the relay.")
    resend_after_s: float = Field(
        default=5.0, gt=0, description="Seconds after which a hint that left Redis is sent again."
    )
    window: int = Field(default=32, ge=1, description="Hints that a queue holds in Redis at most.")
    max_deaths: int = Field(
        default=3,
        ge=1,
        description="Workers lost after which a shard is split, a class refused, an item given up that two had alone.",
    )
    item_attempts: int = Field(default=3, ge=1, description="Tries of an item that fails for a reason that may pass.")
    item_timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds that reading, decoding or preparing one item may take."
    )
    forward_timeout_s: float = Field(
        default=120.0, gt=0, description="Seconds that one run of the model may take; then the process is replaced."
    )
    open_timeout_s: float = Field(
        default=900.0, gt=0, description="Seconds that loading a fetched model may take; then the process is replaced."
    )
    open_retry_s: float = Field(
        default=3600.0, ge=0, description="Seconds that a job waits for a model whose provider is away."
    )
    drain_s: float = Field(default=25.0, ge=0, description="Seconds that SIGTERM leaves to finish or give back shards.")
    draft_expires_s: float = Field(
        default=86_400.0, gt=0, description="Seconds after its last part that a draft which nobody seals is given up."
    )
    result_cache_bytes: int = Field(
        default=2 * 2**30, ge=0, description="Bytes of results kept for later runs; the least recently used go first."
    )
    records_kept_s: float = Field(
        default=30 * 86_400.0,
        gt=0,
        description="Seconds for which webhooks that were sent, exports that were made and workers that ended stay.",
    )
    max_image_bytes: int = Field(default=256 * 2**20, ge=1, description="Bytes above which a file is not read.")
    max_image_pixels: int = Field(default=50_000_000, ge=1, description="Pixels above which a picture is not decoded.")
    metrics_host: str = Field(
        default="127.0.0.1", description="Address on which a worker machine serves its numbers and its health."
    )
    metrics_port: int = Field(default=9464, ge=0, le=65535, description="Port of the same; 0 turns it off.")

    @field_validator("models", mode="before")
    @classmethod
    def split_models(cls, value: object) -> object:
        """Take `a,b` from the environment as well as a list from a file."""
        return split_words(value, ",")
