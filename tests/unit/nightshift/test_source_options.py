import time
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from fetching.policy import FetchPolicy
from nightshift.cli.request import job_options, request_of
from nightshift.settings import load_settings
from producer.errors import SourceInvalid
from producer.fetch_settings import FetchSettings
from producer.sources import SourceOptions


def asked(*arguments):
    made = []

    @click.command()
    @job_options
    def command(**options):
        made.append(request_of(options))

    done = CliRunner().invoke(command, ["photos", "-m", "digits", *arguments])
    assert done.exit_code == 0, done.output
    return made[0].source_options(SourceOptions())


def test_what_is_taken_is_said_by_options():
    options = asked("--since", "1h", "--include", "*.jpg", "--include", "*.png", "--exclude", "test/*", "--limit", "7")

    assert (options.include, options.exclude, options.limit) == (("*.jpg", "*.png"), ("test/*",), 7)
    assert options.since == pytest.approx(time.time() - 3600, abs=60)


def test_without_options_everything_is_taken():
    options = asked()

    assert (options.include, options.exclude, options.since, options.limit) == ((), (), None, None)


def test_a_since_that_is_none_is_named():
    with pytest.raises(SourceInvalid, match="'soon'; expected 24h"):
        asked("--since", "soon")


def test_the_defaults_of_the_settings_are_those_of_the_policy():
    assert FetchSettings().policy(FetchPolicy().max_bytes) == FetchPolicy()


def test_the_policy_comes_from_the_environment_and_reaches_the_workers(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOWED_ROOTS", "/srv/a:/srv/b")
    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOWED_HOSTS", "*.example.org, img.test")
    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOWED_PORTS", "443,8443")
    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOW_PRIVATE", "true")
    monkeypatch.setenv("NIGHTSHIFT_WORKER__MAX_IMAGE_BYTES", "1000")

    settings = load_settings()

    assert settings.fetch_policy == FetchPolicy(
        allowed_roots=("/srv/a", "/srv/b"),
        allowed_hosts=("*.example.org", "img.test"),
        allowed_ports=frozenset({443, 8443}),
        allow_private=True,
        max_bytes=1000,
    )
    uploads = str(settings.server_dir / "uploads")
    wanted = replace(settings.fetch_policy, allowed_roots=("/srv/a", "/srv/b", uploads))
    assert settings.worker_config("redis://x").fetch == wanted
