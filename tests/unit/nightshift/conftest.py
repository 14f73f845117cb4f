"""A command line on a store of its own, without a broker."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from jobstore.store import JobStore
from nightshift.cli import cli


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Give a function that runs a command to its exit status and gives what it printed on standard output."""
    monkeypatch.chdir(tmp_path)
    environment = {"NIGHTSHIFT_DATA_DIR": str(tmp_path), "NIGHTSHIFT_BROKER_URL": None, "NIGHTSHIFT_DATABASE_URL": None}

    def run(*arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(cli, arguments, env=environment, standalone_mode=False, catch_exceptions=False)
        assert (done.return_value or done.exit_code) == status, done.output
        return done.stdout

    return run


@pytest.fixture
def called_store(call, tmp_path):
    """The store behind it."""
    call("jobs")  # makes the database
    with JobStore.open(f"sqlite:///{next(tmp_path.glob('*.db'))}") as opened:
        yield opened
