"""docs/python.md is true: its code runs as written, beside real workers and a real server."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from jobstore.tokens import Role
from nightshift.settings import load_settings
from nightshift.stack import open_stack
from tests.fixtures.doc_pages import run_page
from tests.fixtures.gateways import serving
from tests.fixtures.server import bearer, services_on

pytestmark = pytest.mark.acceptance


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """What `nightshift up` runs."""
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    options = {"metrics_port": 0, "log_level": "ERROR"}
    with open_stack(load_settings(), with_workers=True, hardware="cpu", **options) as opened:
        yield opened


def test_the_page_prints_what_it_shows(stack, pages, tmp_path, registered_engine):
    (tmp_path / "pages").mkdir()
    for page in pages[:8]:
        os.link(page, tmp_path / "pages" / page.name)
    services = replace(services_on(stack.store, tmp_path), producer=stack.gateway)

    with serving(services) as url:
        token = bearer(stack.store, Role.OPERATOR)["Authorization"].removeprefix("Bearer ")
        printed, shown = run_page("python.md", url=url, token=token)

    assert printed == shown
