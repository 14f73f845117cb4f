"""Real processes that fetch one model: together, and killed in the middle."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from inference_engine.testing_server import ModelServer

pytestmark = pytest.mark.acceptance

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "onnx-fp32"
LOAD = """
import sys
import threading
from pathlib import Path
from inference_engine.finding import find, local_package
from inference_engine.providers import ProviderOptions
options = ProviderOptions(hosts={"roboflow": sys.argv[1]}, cache_dir=Path(sys.argv[2]))
(package,) = find("rf://digits/1", (), options).packages
print(local_package(package).weights, flush=True)
"""


@pytest.fixture
def server():
    with ModelServer() as running:
        # A documentation string of 4 MiB (ModelProto field 6, its length as a varint) makes it worth a resume.
        weights = next(DIGITS.glob("*.onnx")).read_bytes() + b"\x32\x80\x80\x80\x02" + bytes(4 * 2**20)
        running.add_file("/weights.onnx", weights)
        for name in ("class_names.txt", "inference_config.json"):
            running.add_file(f"/{name}", (DIGITS / name).read_bytes())
        files = {name: f"/{name}" for name in ("class_names.txt", "inference_config.json", "weights.onnx")}
        running.add_model("digits/1", [running.onnx_package("abc", files)])
        yield running


def start(server, cache):
    command = [sys.executable, "-c", LOAD, server.url, str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return Path(out.strip())


def wait_for(condition, deadline_s=30.0):
    end_s = time.monotonic() + deadline_s
    ticks = iter(lambda: time.monotonic() < end_s, False)
    while not condition():
        assert next(ticks, False), "the condition did not come"
        threading.Event().wait(0.02)


def test_three_processes_that_load_one_model_cold_fetch_it_once(server, tmp_path):
    server.files["/weights.onnx"].held_after = 1 << 20
    processes = [start(server, tmp_path) for _ in range(3)]
    wait_for(lambda: len(server.asked("/models/v1/external/weights")) == 3)
    server.files["/weights.onnx"].release.set()

    weights = {end(process) for process in processes}

    assert len(weights) == 1
    assert [len(server.asked(path)) for path in server.files] == [1, 1, 1]


def test_after_kill_9_in_the_middle_the_next_process_fetches_the_rest_and_verifies_it(server, tmp_path):
    served = server.files["/weights.onnx"]
    served.held_after = 2 << 20
    process = start(server, tmp_path)
    wait_for(lambda: any(part.stat().st_size >= 1 << 20 for part in tmp_path.rglob("weights.onnx.part")))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (part,) = tmp_path.rglob("weights.onnx.part")
    left, note = part.stat().st_size, json.loads(part.with_name("weights.onnx.part.json").read_bytes())
    served.held_after = None
    served.release.set()

    weights = end(start(server, tmp_path))

    first, second = server.asked("/weights.onnx")
    assert note["etag"] == served.etag
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={left}-"
    assert hashlib.sha256(weights.read_bytes()).digest() == hashlib.sha256(served.data).digest()
    assert not list(tmp_path.rglob("*.part*"))
    assert len(server.asked("/class_names.txt")) == 1
