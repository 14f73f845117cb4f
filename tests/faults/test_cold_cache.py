"""F39: eight processes load one package cold, and some are killed at the points at which files get their places."""

import hashlib
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL

import pytest

from inference_engine.testing_server import ModelServer
from tests.faults.system import ROOT, environment_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

DIGITS = ROOT / "models" / "digits" / "onnx-fp32"
NAMES = ("class_names.txt", "inference_config.json", "weights.onnx")
LOAD = """
import sys
from pathlib import Path
from inference_engine.finding import find, local_package
from inference_engine.providers import ProviderOptions
options = ProviderOptions(hosts={"roboflow": sys.argv[1]}, cache_dir=Path(sys.argv[2]))
(package,) = find("rf://digits/1", (), options).packages
sys.stdin.read()
print(local_package(package).weights, flush=True)
"""
#: Where the first of a process dies that fetches: around the syncs and renames by which a file gets its place.
POINTS = ("os.fsync.before:1", "os.fsync.after:2", "os.replace.before:1", "os.replace.after:2", "os.replace.before:3")
HEALTHY = 3


@pytest.fixture
def server():
    with ModelServer() as running:
        weights = next(DIGITS.glob("*.onnx")).read_bytes()
        running.add_file("/weights.onnx", weights)
        for name in NAMES[:2]:
            running.add_file(f"/{name}", (DIGITS / name).read_bytes())
        running.add_model("digits/1", [running.onnx_package("abc", {name: f"/{name}" for name in NAMES})])
        yield running


def test_of_eight_that_load_cold_the_killed_cost_one_fetch_each_and_the_others_have_it_whole(server, tmp_path):
    cache = tmp_path / "cache"
    doomed = [{"FAULT": point, "FAULT_ONCE": str(tmp_path / f"died_{n}")} for n, point in enumerate(POINTS)]
    processes = [start(server, cache, told) for told in (*doomed, *[{}] * HEALTHY)]
    for process in processes:  # all have imported and asked by the time that the last of them is told to go on
        process.stdin.close()
        process.stdin = None

    ended = [(*process.communicate(timeout=300), process.returncode) for process in processes]

    killed = [status for *_, status in ended if status == -SIGKILL]
    assert killed
    assert all(status in (0, -SIGKILL) for *_, status in ended[: len(POINTS)]), ended
    assert all(status == 0 for *_, status in ended[len(POINTS) :]), ended
    (weights,) = {Path(out.strip()) for out, _, status in ended if status == 0}
    for name in NAMES:
        assert digest((weights.parent / name).read_bytes()) == digest(server.files[f"/{name}"].data)
        assert 1 <= len(server.asked(f"/{name}")) <= 1 + len(killed)
    assert not list(cache.rglob("*.part*"))


def start(server, cache, told):
    # The folder of the kill points has to be there; the cache is made by whoever comes first.
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, server.url, str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment_of(told),
        cwd=ROOT,
    )


def digest(data):
    return hashlib.sha256(data).digest()
