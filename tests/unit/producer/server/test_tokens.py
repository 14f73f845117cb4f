"""Tokens, cookies, roles: who may do what, and whom a browser may be made to speak for."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from jobstore.errors import InvalidToken
from jobstore.tokens import PREFIX, Role, TokenWish, digest
from producer.server.app import create_app
from producer.server.auth import COOKIE, csrf_of
from tests.fixtures.server import bearer, services_on, submitted


@pytest.fixture
def signed_in(services):
    """A browser that holds a submitter's cookie, and the token in it."""
    _, token = services.store.tokens.add(TokenWish("browser"))
    with TestClient(create_app(services), follow_redirects=False) as browser:
        answer = browser.post("/login", data={"token": token})
        assert answer.status_code == 303
        yield browser, token, answer.headers["set-cookie"]


@pytest.fixture
def job_id(services, tmp_path):
    with TestClient(create_app(services), headers=bearer(services.store)) as http:
        return submitted(http, tmp_path)


def test_a_token_is_random_and_only_its_hash_is_kept(store):
    row, token = store.tokens.add(TokenWish("ci", "yard", Role.READER))
    assert token.startswith(PREFIX)
    assert len(token) == len(PREFIX) + 43  # 256 bits
    assert store.tokens.find(token).token_id == row.token_id
    assert (row.tenant, row.role, row.last_used) == ("yard", Role.READER, None)
    assert len(digest(token)) == 64


def test_a_revoked_token_ends_at_once(store):
    row, token = store.tokens.add(TokenWish("ci"))
    assert store.tokens.revoke(row.token_id)
    assert store.tokens.find(token) is None
    assert not store.tokens.revoke(row.token_id)


def test_an_expired_token_is_none(store):
    _, token = store.tokens.add(TokenWish("ci", lifetime_s=1e-9))
    assert store.tokens.find(token) is None


def test_use_is_noted_at_most_once_a_minute(store):
    _, token = store.tokens.add(TokenWish("ci"))
    store.tokens.find(token)
    first = store.tokens.list()[0].last_used
    store.tokens.find(token)
    assert first is not None
    assert store.tokens.list()[0].last_used == first


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (TokenWish("../etc"), "name '../etc'"),
        (TokenWish("a", tenant="../b"), "tenant '../b'"),
        (TokenWish("a", tenant=""), "tenant ''"),
        (TokenWish("a", lifetime_s=0), "a life of 0 s"),
    ],
    ids=["a path as name", "a path as tenant", "no tenant", "no life"],
)
def test_a_token_that_cannot_be_is_refused(store, wish, words):
    with pytest.raises(InvalidToken, match=words.replace(".", r"\.")):
        store.tokens.add(wish)


def test_a_name_is_given_once_a_tenant(store):
    store.tokens.add(TokenWish("ci"))
    store.tokens.add(TokenWish("ci", tenant="other"))
    with pytest.raises(InvalidToken, match="had a token called 'ci' before"):
        store.tokens.add(TokenWish("ci"))


def test_a_reader_may_look_and_not_touch(services, job_id):
    with TestClient(create_app(services), headers=bearer(services.store, Role.READER)) as http:
        assert http.get(f"/v1/jobs/{job_id}").status_code == 200
        answer = http.post(f"/v1/jobs/{job_id}:cancel")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "role submitter" in answer.json()["detail"]


def test_a_cookie_is_kept_from_scripts_and_from_other_sites(signed_in):
    browser, token, cookie = signed_in
    assert cookie.startswith(f"{COOKIE}={token};")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert browser.get("/v1/jobs").status_code == 200


def test_a_wrong_token_signs_nobody_in(services):
    with TestClient(create_app(services)) as browser:
        answer = browser.post("/login", data={"token": "nightshift_wrong"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 403),
        ({"X-CSRF-Token": "wrong"}, 403),
        ({"X-CSRF-Token": "{csrf}"}, 200),
        ({"X-CSRF-Token": "{csrf}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"X-CSRF-Token": "{csrf}", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"X-CSRF-Token": "{csrf}", "Sec-Fetch-Site": "same-site"}, 403),
        ({"X-CSRF-Token": "{csrf}", "Origin": "https://evil.example"}, 403),
        ({"X-CSRF-Token": "{csrf}", "Origin": "http://testserver"}, 200),
    ],
    ids=["none", "wrong", "right", "our page", "another site", "a sibling site", "another origin", "our origin"],
)
def test_a_browser_changes_something_only_for_our_own_pages(signed_in, job_id, headers, expected):
    browser, token, _ = signed_in
    sent = {name: value.replace("{csrf}", csrf_of(token)) for name, value in headers.items()}
    assert browser.post(f"/v1/jobs/{job_id}:pause", headers=sent).status_code == expected


def test_a_form_sends_its_proof_as_a_field(signed_in, job_id):
    browser, token, _ = signed_in
    assert browser.post(f"/v1/jobs/{job_id}:pause", data={"csrf": csrf_of(token)}).status_code == 200


def test_signing_out_forgets_the_cookie(signed_in):
    browser, token, _ = signed_in
    assert browser.post("/logout", data={"csrf": csrf_of(token)}).status_code == 303
    assert browser.get("/v1/jobs").status_code == 401


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
    ],
    ids=["address", "name", "a name that leads here", "a longer name"],
)
def test_a_server_without_tokens_answers_to_its_own_names_only(sqlite_store, tmp_path, headers, expected):
    options = {"needs_token": False, "hosts": frozenset({"127.0.0.1", "localhost"})}
    with TestClient(create_app(services_on(sqlite_store, tmp_path, **options))) as http:
        assert http.get("/v1/jobs", headers=headers).status_code == expected


def test_a_server_without_tokens_takes_no_orders_from_other_sites(sqlite_store, tmp_path):
    app = create_app(services_on(sqlite_store, tmp_path, needs_token=False))
    with TestClient(app) as http:
        job_id = submitted(http, tmp_path)
        evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert http.post(f"/v1/jobs/{job_id}:cancel", headers=evil).status_code == 403
        assert http.post(f"/v1/jobs/{job_id}:cancel").status_code == 200
