"""Read by every Python that has this folder on its path: kills it, loses replies of COMMIT, shifts its clock.

`FAULT=JobStore.record.after:3` ends the process with SIGKILL after the third call of that method; `FAULT_ONCE` names
a file that is made first, so that the process that comes next lives. `FAULT_LOSSY=0.05` raises after a commit that
went through, for a share of commits, with `FAULT_SEED`. `FAULT_CLOCK=3600` puts the wall clock an hour ahead.
`FAULT_FITS=3` lets ONNX Runtime have no memory for more than three images a run. `FAULT_FILES=64` is the number of
descriptors that the process may have.
"""

import os
import random
import resource
import signal
import time
from importlib import import_module
from pathlib import Path

#: Module of each class whose methods may be named.
_HOMES = {
    "Doorbell": "jobstore.dispatch",
    "JobStore": "jobstore.store",
    "Opener": "workers.opening",
    "QoS": "kombu.transport.redis",
    "Repairs": "jobstore.repairs",
    "VisionModel": "inference_engine.model",
}


def _die_once() -> None:
    mark = os.environ["FAULT_ONCE"]
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _install_kill(point: str) -> None:
    place, _, number = point.partition(":")
    name, _, when = place.rpartition(".")
    calls = [int(number)]

    def counted() -> None:
        calls[0] -= 1
        if calls[0] == 0:
            _die_once()

    if name == "commit":
        _around_commit(before=counted if when == "before" else None, after=counted if when == "after" else None)
        return
    owner = _owner(name)
    method = name.rpartition(".")[2]
    original = getattr(owner, method)

    def wrapped(*arguments: object, **options: object) -> object:
        if when == "before":
            counted()
        result = original(*arguments, **options)
        if when == "after":
            counted()
        return result

    setattr(owner, method, wrapped)


def _owner(name: str) -> object:
    kind = name.partition(".")[0]
    return os if kind == "os" else getattr(import_module(_HOMES[kind]), kind)


def _around_commit(before: object = None, after: object = None) -> None:
    from sqlalchemy.engine.default import DefaultDialect

    original = DefaultDialect.do_commit

    def do_commit(self: object, connection: object) -> None:
        if before is not None:
            before()
        original(self, connection)
        if after is not None:
            after()

    DefaultDialect.do_commit = do_commit


def _shift_clock(seconds: float) -> None:
    """Only the wall clock; leases and timeouts inside of a process use the monotonic one."""
    now, now_ns, shift_ns = time.time, time.time_ns, int(seconds * 1e9)
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + shift_ns


def _install_little_memory(fits: int) -> None:
    import onnxruntime

    original = onnxruntime.InferenceSession.run

    def run(self: object, names: object, inputs: dict, *others: object) -> object:
        images = len(next(iter(inputs.values())))
        if images > fits:
            raise RuntimeError(f"Failed to allocate memory for requested buffer of {images} images")
        return original(self, names, inputs, *others)

    onnxruntime.InferenceSession.run = run


def _main() -> None:
    # Only what runs workers: the launcher, pip and others start Pythons as well.
    if "FAULT" in os.environ and Path(os.environ["FAULT_ONCE"]).parent.is_dir():
        _install_kill(os.environ["FAULT"])
    if "FAULT_LOSSY" in os.environ:
        # This file's folder is on the path; the package of the tests may not be.
        from lost_replies import lose_replies

        seed = int(os.environ.get("FAULT_SEED", "0")) + os.getpid()
        lose_replies(float(os.environ["FAULT_LOSSY"]), random.Random(seed))
    if "FAULT_CLOCK" in os.environ:
        _shift_clock(float(os.environ["FAULT_CLOCK"]))
    if "FAULT_FILES" in os.environ:
        files = int(os.environ["FAULT_FILES"])
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if "FAULT_FITS" in os.environ:
        _install_little_memory(int(os.environ["FAULT_FITS"]))


_main()
