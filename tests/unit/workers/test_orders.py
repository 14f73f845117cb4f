"""What a worker process is told reaches it whole."""

import os
import subprocess
import sys

import msgspec
import pytest

from inference_engine.machine import probe_machine
from nightshift.settings import load_settings
from workers.assembly import provider_options
from workers.config import WorkerConfig
from workers.placement import plan_slots
from workers.process import Orders


def test_keys_and_cache_folder_of_providers_reach_the_worker(monkeypatch, tmp_path):
    monkeypatch.setenv("ROBOFLOW_API_KEY", "rf_secret")
    monkeypatch.setenv("NIGHTSHIFT_MODELS_PRIVATE_HOSTS", "models.corp, *.inner")
    settings = load_settings(cache_dir=tmp_path, weights_provider="roboflow", offline=True)

    sent = msgspec.json.encode(settings.worker_config("redis://x"))
    options = provider_options(msgspec.json.decode(sent, type=WorkerConfig))

    assert options == settings.provider_options
    assert options.private_hosts == ("models.corp", "*.inner")
    assert "rf_secret" not in repr(settings.worker_config("redis://x"))


@pytest.mark.parametrize("trust", [False, True, ("a" * 64,)], ids=["nothing", "all", "hash"])
def test_what_the_operator_trusts_reaches_the_worker(trust):
    settings = load_settings(trust=trust, allow_local_code_packages=True)

    sent = msgspec.json.encode(settings.worker_config("redis://x"))

    assert msgspec.json.decode(sent, type=WorkerConfig).trust == trust
    assert msgspec.json.decode(sent, type=WorkerConfig).allow_local_code_packages


def test_a_process_whose_launcher_died_before_it_could_ask_for_a_signal_does_not_begin(tmp_path):
    config = load_settings(database_url=f"sqlite:///{tmp_path}/store.db").worker_config("redis://127.0.0.1:1")
    slot = plan_slots(probe_machine(), "cpu", (0,), 1)[0]
    orders = Orders(config, slot, "one", launcher=os.getppid())

    # One that begins goes on asking for its Redis until somebody stops it.
    done = subprocess.run(
        [sys.executable, "-m", "workers.process"], input=msgspec.json.encode(orders), timeout=60, check=False
    )

    assert done.returncode == 0
    assert not list(tmp_path.iterdir())
