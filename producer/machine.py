"""Where this machine's jobs go: the settings that producers and `nightshift` share, and how they are found.

The environment (`NIGHTSHIFT_...`) wins over `nightshift.toml` in the working folder, or else the user's.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from producer.errors import SettingInvalid

PREFIX = "NIGHTSHIFT_"
FILE_NAME = "nightshift.toml"
DATABASE_NAME = "nightshift.db"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a producer needs to know of this machine's settings.

    Attributes:
        api_url: the server that is asked; None: the job store itself.
        api_token: the server's token.
        database_url: None: SQLite in the data folder, which one machine's processes share.
        broker_url: Redis; None: the one that a process on this machine runs, if there is one.
        data_dir: of the database and of the note of who runs Redis.
    """

    data_dir: Path
    api_url: str | None = None
    api_token: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    broker_url: str | None = field(default=None, repr=False)

    @property
    def database_path(self) -> Path:
        """Where the database of the data folder is, whether or not it is used."""
        return self.data_dir / DATABASE_NAME

    @property
    def store_url(self) -> str:
        """The database's URL."""
        return self.database_url or store_url(self.data_dir)


def find_machine(environ: Mapping[str, str] | None = None) -> Machine:
    """Read the settings of this machine that concern a producer; others are left to `nightshift`.

    Raises:
        SettingInvalid: the settings file cannot be read, or one of these is no text.
    """
    environ = os.environ if environ is None else environ
    written = read_settings(environ)
    found: dict[str, str | None] = {}
    for name in ("api_url", "api_token", "database_url", "broker_url", "data_dir"):
        value = environ.get(f"{PREFIX}{name.upper()}") or written.get(name) or None
        if value is not None and not isinstance(value, str):
            raise SettingInvalid(f"{name} in {settings_file(environ)}: expected a text, found {value!r}")
        found[name] = value
    folder = found.pop("data_dir")
    data_dir = user_folder("XDG_DATA_HOME", ".local/share", environ) if folder is None else Path(folder)
    return Machine(data_dir=data_dir.expanduser().absolute(), **found)


def user_folder(variable: str, fallback: str, environ: Mapping[str, str] | None = None) -> Path:
    """Give nightshift's folder under an XDG base directory (XDG Base Directory Specification 0.8)."""
    base = (os.environ if environ is None else environ).get(variable, "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / fallback) / "nightshift"


def settings_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Give the settings file that counts: the working folder's, else the user's, else none."""
    places = (Path.cwd() / FILE_NAME, user_folder("XDG_CONFIG_HOME", ".config", environ) / FILE_NAME)
    return next((place for place in places if place.is_file()), None)


def store_url(data_dir: Path) -> str:
    """Give the URL of the database in a data folder."""
    return f"sqlite:///{data_dir / DATABASE_NAME}"


def read_settings(environ: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """Give what the settings file that counts says; nothing where there is none.

    Raises:
        SettingInvalid: it cannot be read.
    """
    path = settings_file(environ)
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingInvalid(f"{path} cannot be read: {error}; correct or remove it") from error
