"""Every setting, read once: environment variables with the prefix NIGHTSHIFT_, then `nightshift.toml`.

Nested names take two underscores: `NIGHTSHIFT_WORKER__CONCURRENCY=8` is `concurrency = 8` under `[worker]`.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from nightshift.errors import SettingsInvalid
from nightshift.server_settings import ServerSettings
from nightshift.worker_settings import WorkerSettings
from producer.fetch_settings import FetchSettings, split_words
from producer.machine import FILE_NAME, PREFIX, settings_file, store_url, user_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fetching.policy import FetchPolicy
    from inference_engine.providers import ProviderOptions
    from producer.server.services import ServerOptions
    from workers.config import WorkerConfig

#: Provider -> variable of its key, as the provider's own tools call it.
API_KEYS = {"roboflow": "ROBOFLOW_API_KEY", "huggingface": "HF_TOKEN"}


def starter_models() -> Path:
    """Give the folder of the models that come with nightshift: in the wheel, or in the repository."""
    package = Path(str(resources.files("nightshift")))
    packaged = package / "models"
    return packaged if packaged.is_dir() else package.parent / "models"


class Settings(BaseSettings):
    """All settings, frozen. Use `load_settings`, which also refuses unknown variables."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", validate_default=True
    )

    broker_url: str | None = Field(
        default=None,
        repr=False,
        description="Celery URL of Redis, such as redis://host:6379/0; unset: an embedded Redis.",
    )
    database_url: str | None = Field(
        default=None, repr=False, description="SQLAlchemy URL of the job store; unset: SQLite in the data folder."
    )
    api_url: str | None = Field(
        default=None,
        description="Server that `Producer()` in Python asks, such as http://host:8000; unset: the job store itself.",
    )
    api_token: str | None = Field(default=None, repr=False, description="The token that the same server is shown.")
    data_dir: Path = Field(
        default_factory=lambda: user_folder("XDG_DATA_HOME", ".local/share"),
        description="Folder of the SQLite database and of the embedded stack's state.",
    )
    cache_dir: Path = Field(
        default_factory=lambda: user_folder("XDG_CACHE_HOME", ".cache"),
        description="Folder of what can be made again: fetched packages, compiled plans, measurements.",
    )
    model_dirs: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Folders whose sub-folders are models, separated by `:`; the starter models come last."
    )
    cache_max_bytes: int = Field(
        default=50 * 2**30, ge=1, description="Bytes of fetched packages above which the least recently used go."
    )
    weights_provider: str | None = Field(
        default=None, description="Who knows plain model ids, such as roboflow; unset: the models folders."
    )
    offline: bool = Field(default=False, description="Use fetched models only, and ask no provider.")
    models_private_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Hosts of models, joined by commas, that may lead to a private network; metadata never."
    )
    trust: Annotated[tuple[str, ...] | bool, NoDecode] = Field(
        default=False,
        description="Which packages workers here may open that can run code (TensorRT plans, TorchScript, exported "
        "programs): sha256 hashes separated by `,`, or true for all of them.",
    )
    allow_local_code_packages: bool = Field(
        default=False, description="Whether workers here may run packages with Python code of their own."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="console for people, json for collectors."
    )
    worker: WorkerSettings = Field(default=WorkerSettings(), description="What workers are told.")
    webhooks_allow_private: bool = Field(
        default=False, description="Whether webhooks are sent to private networks and to this machine; metadata never."
    )
    fetch: FetchSettings = Field(default=FetchSettings(), description="Where items are read from.")
    server: ServerSettings = Field(default=ServerSettings(), description="What the HTTP server is told.")

    @field_validator("model_dirs", mode="before")
    @classmethod
    def split_folders(cls, value: object) -> object:
        """Take `a:b` from the environment as well as a list from a file."""
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("models_private_hosts", mode="before")
    @classmethod
    def split_hosts(cls, value: object) -> object:
        """Take `a,b` from the environment as well as a list from a file."""
        return split_words(value, ",")

    @field_validator("trust", mode="before")
    @classmethod
    def split_hashes(cls, value: object) -> object:
        """Take `a,b`, `true` and `all` from the environment as well as a list from a file; refuse what is no hash."""
        from inference_engine.errors import ParameterInvalid
        from inference_engine.trust import trust_policy

        if isinstance(value, str):
            words = {"": False, "0": False, "false": False, "1": True, "true": True, "all": True}
            hashes = [part for part in re.split(r"[,:\s]+", value) if part]
            value = words.get(value.strip().lower(), hashes)
        if isinstance(value, list | tuple):
            try:
                trust_policy(value)
            except ParameterInvalid as error:
                raise ValueError(str(error)) from error
        return value

    @field_validator("broker_url", "database_url", "api_url", "api_token", mode="before")
    @classmethod
    def drop_empty(cls, value: object) -> object:
        """Take an empty variable as unset, which is what compose files make of a missing one."""
        return value or None

    @field_validator("data_dir", "cache_dir")
    @classmethod
    def make_absolute(cls, value: Path) -> Path:
        """Resolve folders once: workers run elsewhere."""
        return value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic-settings names its arguments)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, which wins over the file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=settings_file()))

    @property
    def is_embedded(self) -> bool:
        """No broker is named: one machine runs everything."""
        return self.broker_url is None

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the job store, the default filled in."""
        return self.database_url or store_url(self.data_dir)

    @property
    def all_model_dirs(self) -> tuple[Path, ...]:
        """Where models are looked for, the starter models last."""
        return (*(folder.expanduser().absolute() for folder in self.model_dirs), starter_models())

    @property
    def package_cache_dir(self) -> Path:
        """Where fetched packages are."""
        return self.cache_dir / "packages"

    @property
    def api_keys(self) -> dict[str, str]:
        """Keys of providers, from the variables that their own tools read; in no file and no listing of settings."""
        return {name: os.environ[key] for name, key in API_KEYS.items() if os.environ.get(key)}

    @property
    def provider_options(self) -> ProviderOptions:
        """What models of providers are fetched with."""
        from inference_engine.providers import ProviderOptions

        return ProviderOptions(
            weights_provider=self.weights_provider,
            cache_dir=self.package_cache_dir,
            api_keys=self.api_keys,
            offline=self.offline,
            private_hosts=self.models_private_hosts,
            max_cache_bytes=self.cache_max_bytes,
        )

    def server_options(self, host: str, *, needs_token: bool) -> ServerOptions:
        """Give what a server on this address allows.

        Raises:
            SettingsInvalid: uploads would go where no worker reads.
        """
        from fetching.errors import FetchDenied
        from nightshift.serving import is_loopback
        from producer.server.services import ServerOptions

        policy = self.fetch_policy
        if policy.allowed_roots is None and not is_loopback(host):
            policy = replace(policy, allowed_roots=())
        destinations = self.server.export_destinations
        if destinations is None and not is_loopback(host):
            destinations = ()
        try:
            if self.server.uploads:
                policy.check_bucket(self.server.uploads)
        except FetchDenied as error:
            raise SettingsInvalid(
                f"{PREFIX}SERVER__UPLOADS names a place that workers may not read",
                cause=str(error),
                hint=f"list its bucket in {PREFIX}FETCH__ALLOWED_BUCKETS",
            ) from error
        return ServerOptions(
            data_dir=self.server_dir,
            needs_token=needs_token,
            hosts=frozenset({"localhost", "127.0.0.1", "::1", host}),
            fetch=policy,
            max_body_bytes=self.server.max_body_bytes,
            max_upload_bytes=self.server.max_upload_bytes,
            requests_per_s=self.server.requests_per_s,
            burst=self.server.burst,
            is_https=self.server.https,
            export_destinations=destinations,
            uploads=self.server.uploads,
        )

    @property
    def server_dir(self) -> Path:
        """Where servers keep uploads and exports."""
        return self.data_dir / "server"

    @property
    def worker_policy(self) -> FetchPolicy:
        """What workers read: the same, and what servers of this data folder took in."""
        policy = self.fetch_policy
        if policy.allowed_roots is None:
            return policy
        return replace(policy, allowed_roots=(*policy.allowed_roots, str(self.server_dir / "uploads")))

    @property
    def fetch_policy(self) -> FetchPolicy:
        """What is read here, by whoever submits and by the workers."""
        return self.fetch.policy(self.worker.max_image_bytes)

    @property
    def quiet_log_level(self) -> str:
        """The level for commands that tell how a job goes themselves: the one that was set, else ERROR."""
        return self.log_level if "log_level" in self.model_fields_set else "ERROR"

    def worker_config(self, broker_url: str, **overrides: Any) -> WorkerConfig:
        """Give what the launcher takes; `overrides` are fields of `WorkerConfig`, None means the setting."""
        from workers.config import WorkerConfig

        fields: dict[str, Any] = {
            **self.worker.model_dump(),
            "database_url": self.store_url,
            "broker_url": broker_url,
            "model_dirs": tuple(str(folder) for folder in self.all_model_dirs),
            "cache_dir": str(self.package_cache_dir),
            "cache_max_bytes": self.cache_max_bytes,
            "weights_provider": self.weights_provider,
            "api_keys": self.api_keys,
            "offline": self.offline,
            "models_private_hosts": self.models_private_hosts,
            "trust": self.trust,
            "allow_local_code_packages": self.allow_local_code_packages,
            "log_level": self.log_level,
            "log_format": self.log_format,
            "fetch": self.worker_policy,
            **{name: value for name, value in overrides.items() if value is not None},
        }
        return WorkerConfig(**fields)


def known_variables() -> dict[str, str]:
    """Map every variable of the environment to its description, in the order of the fields."""
    groups: dict[str, type[BaseModel]] = {"worker": WorkerSettings, "fetch": FetchSettings, "server": ServerSettings}
    nested = {
        f"{group.upper()}__{name.upper()}": field
        for group, model in groups.items()
        for name, field in model.model_fields.items()
    }
    plain = {name.upper(): field for name, field in Settings.model_fields.items() if name not in groups}
    return {f"{PREFIX}{name}": field.description or "" for name, field in {**plain, **nested}.items()}


def check_variables(names: Iterable[str]) -> None:
    """Raise SettingsInvalid for a variable with our prefix that no setting has, naming the nearest one."""
    known = known_variables()
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
            raise SettingsInvalid(
                f"unknown variable {name}",
                cause="a variable that begins with NIGHTSHIFT_ must be a setting",
                hint=f"the nearest is {nearest}; all of them: nightshift config",
            )


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings once.

    Args:
        environ: whose names are checked; the process's by default.
        overrides: fields that win over everything.

    Raises:
        SettingsInvalid: an unknown variable, an unknown line of the file, or a value that cannot be.
    """
    check_variables(os.environ if environ is None else environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsInvalid(*_words(error), hint="all settings: nightshift config") from error
    except ValueError as error:  # tomllib.TOMLDecodeError, or JSON in a variable
        raise SettingsInvalid(f"the settings cannot be read: {error}", cause=str(settings_file() or "")) from error


def _words(error: ValidationError) -> tuple[str]:
    """Say each wrong setting by the names that it has in the environment and in the file."""
    lines = []
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"]]
        name = f"{PREFIX}{'__'.join(path).upper()} ({'.'.join(path)} in {FILE_NAME})"
        found = "" if problem["type"] == "extra_forbidden" else f", found {problem['input']!r}"
        reason = "no such setting" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{name}: {reason}{found}")
    return ("; ".join(lines),)
