"""What a worker process is told reaches it whole."""

import msgspec
import pytest

from nightshift.settings import load_settings
from workers.assembly import provider_options
from workers.config import WorkerConfig


def test_keys_and_cache_folder_of_providers_reach_the_worker(monkeypatch, tmp_path):
    monkeypatch.setenv("ROBOFLOW_API_KEY", "rf_secret")
    settings = load_settings(cache_dir=tmp_path, weights_provider="roboflow", offline=True)

    sent = msgspec.json.encode(settings.worker_config("redis://x"))
    options = provider_options(msgspec.json.decode(sent, type=WorkerConfig))

    assert options == settings.provider_options
    assert "rf_secret" not in repr(settings.worker_config("redis://x"))


@pytest.mark.parametrize("trust", [False, True, ("a" * 64,)], ids=["nothing", "all", "hash"])
def test_what_the_operator_trusts_reaches_the_worker(trust):
    settings = load_settings(trust=trust, allow_local_code_packages=True)

    sent = msgspec.json.encode(settings.worker_config("redis://x"))

    assert msgspec.json.decode(sent, type=WorkerConfig).trust == trust
    assert msgspec.json.decode(sent, type=WorkerConfig).allow_local_code_packages
