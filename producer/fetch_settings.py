"""What a person says about where items are read from; producers and `nightshift` share it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import NoDecode

from fetching.policy import FetchPolicy
from producer.errors import SettingInvalid
from producer.machine import PREFIX, read_settings, settings_file


def split_words(value: object, mark: str) -> object:
    """What a text holds between marks; anything but a text as it is."""
    return [part.strip() for part in value.split(mark) if part.strip()] if isinstance(value, str) else value


class FetchSettings(BaseModel):
    """Where items are read from; the same names as `fetching.policy.FetchPolicy`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schemes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("file", "https", "http", "s3", "gs", "az"),
        description="Schemes of items and lists, joined by commas; `file` stands for paths, too.",
    )
    allowed_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Folders outside of which no file is read, separated by `:`; unset: every folder."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Hosts of web addresses, joined by commas, such as *.example.org; unset: every host."
    )
    allowed_ports: Annotated[tuple[int, ...], NoDecode] = Field(
        default=(80, 443), description="Ports of web addresses, joined by commas."
    )
    allowed_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Buckets, joined by commas, such as cams-*; unset: all that the credentials open."
    )
    allow_private: bool = Field(
        default=False,
        description="Whether web addresses of private networks and of this machine are read; metadata never is.",
    )
    max_download_bytes: int = Field(
        default=8 * 2**30, ge=1, description="Bytes above which a remote video or list is not read."
    )
    connect_s: float = Field(default=10.0, gt=0, description="Seconds that a connection may take to come about.")
    read_s: float = Field(default=10.0, gt=0, description="Seconds of silence after which a connection is given up.")
    deadline_s: float = Field(
        default=45.0, gt=0, description="Seconds that one remote picture may take, with redirects and repeats."
    )
    download_deadline_s: float = Field(
        default=3600.0, gt=0, description="Seconds that one remote video or list may take."
    )
    max_redirects: int = Field(default=5, ge=0, description="Redirects that are followed; each is checked.")
    attempts: int = Field(default=3, ge=1, description="Requests for one item before it counts as failed once.")

    @field_validator("schemes", "allowed_hosts", "allowed_ports", "allowed_buckets", mode="before")
    @classmethod
    def split_commas(cls, value: object) -> object:
        """Take `a,b` from the environment as well as a list from a file."""
        return split_words(value, ",")

    @field_validator("allowed_roots", mode="before")
    @classmethod
    def split_folders(cls, value: object) -> object:
        """Take `a:b` from the environment as well as a list from a file."""
        return split_words(value, os.pathsep)

    @field_validator("allowed_roots")
    @classmethod
    def make_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        """Resolve folders once: workers run elsewhere."""
        return tuple(folder.expanduser().absolute() for folder in value)

    def policy(self, max_bytes: int) -> FetchPolicy:
        """Give these rules as those who read know them; `max_bytes` is of one picture."""
        fields = self.model_dump()
        fields |= {name: frozenset(fields[name]) for name in ("schemes", "allowed_ports")}
        fields |= {"allowed_roots": tuple(map(str, self.allowed_roots)) or None}
        return FetchPolicy(**fields, max_bytes=max_bytes)


def find_policy(environ: Mapping[str, str] | None = None) -> FetchPolicy:
    """Give the rules of this machine's settings, within which a producer reads sources and takes items.

    Raises:
        SettingInvalid: naming the setting.
    """
    environ = os.environ if environ is None else environ
    written = read_settings(environ).get("fetch", {})
    if not isinstance(written, Mapping):
        raise SettingInvalid(f"fetch in {settings_file(environ)}: expected a table, found {written!r}")
    names = {f"{PREFIX}FETCH__{name.upper()}": name for name in FetchSettings.model_fields}
    said = {names[variable]: value for variable, value in environ.items() if variable in names}
    try:
        return FetchSettings.model_validate({**written, **said}).policy(FetchPolicy().max_bytes)
    except ValidationError as error:
        problems = (f"fetch.{each['loc'][0] if each['loc'] else ''}: {each['msg']}" for each in error.errors())
        raise SettingInvalid("; ".join(problems)) from error
