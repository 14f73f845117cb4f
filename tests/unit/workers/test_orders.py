"""What a worker process is told reaches it whole."""

import msgspec

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
