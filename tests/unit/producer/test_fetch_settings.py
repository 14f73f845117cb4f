"""Where a producer may read from, as this machine's settings say."""

import pytest

from producer.errors import SettingInvalid
from producer.fetch_settings import find_policy


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def test_the_environment_wins_over_the_file(here):
    (here / "nightshift.toml").write_text("[fetch]\nallow_private = true\nallowed_hosts = ['a.example']\n")

    found = find_policy({"NIGHTSHIFT_FETCH__ALLOWED_HOSTS": "b.example,*.c.example", "XDG_CONFIG_HOME": str(here)})

    assert (found.allow_private, found.allowed_hosts) == (True, ("b.example", "*.c.example"))


def test_without_settings_the_rules_are_the_usual():
    found = find_policy({})

    assert (found.allow_private, found.allowed_roots, "ftp" in found.schemes) == (False, None, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fetch = 3\n", "fetch in .*: expected a table, found 3"),
        ("[fetch]\nallow_private = 'perhaps'\n", r"fetch\.allow_private: "),
        ("[fetch]\nallow_privat = true\n", r"fetch\.allow_privat: "),
    ],
    ids=["no table", "value", "name"],
)
def test_what_cannot_be_is_named(here, text, words):
    (here / "nightshift.toml").write_text(text)

    with pytest.raises(SettingInvalid, match=words):
        find_policy({"XDG_CONFIG_HOME": str(here)})
