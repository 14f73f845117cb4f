"""What every session that PyTorch runs does alike, whoever made its module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from inference_engine.errors import EngineError, OutOfMemory, SessionFailed

if TYPE_CHECKING:
    from inference_engine.sessions import Array, SessionOptions


def threads_a_run(torch: Any, options: SessionOptions) -> int:
    """How many threads one run has; 0 leaves it to PyTorch.

    Several runs of one thread beat one run of several threads. Measured, 2 cores, PyTorch 2.13, the starter model in
    fp32: 364 against 149 images/s at batch 1, 474 against 383 at batch 8 (bf16: 503 against 145, 796 against 507).
    """
    if options.threads or options.concurrency == 1:
        return options.threads
    return max(1, int(torch.get_num_threads()) // options.concurrency)


def use_threads(torch: Any, threads: int) -> None:
    """Give the calling thread's runs so many threads: the number is its own, and sessions may want different ones."""
    if threads and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def run_on_cpu(
    torch: Any, threads: int, call: Callable[[Sequence[Any]], Sequence[Any]], values: Sequence[Any]
) -> list[Array]:
    """Call a function of tensors in inference mode; its outputs as float32 arrays that the caller owns."""
    use_threads(torch, threads)
    with torch.inference_mode():
        return [output.float().numpy() for output in call(values)]


@contextmanager
def failures(torch: Any, where: str) -> Iterator[None]:
    """Whatever PyTorch raises within as an error of this package; `where` begins the message."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        is_memory = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        raise (OutOfMemory if is_memory else SessionFailed)(f"{where}: {error}") from error
