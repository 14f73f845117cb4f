"""What a person says about the HTTP server."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode

from producer.fetch_settings import split_words

DAY_S = 86_400.0


class ServerSettings(BaseModel):
    """What the HTTP server is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address on which `serve` and `up` listen.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port of the same; 0 takes any that is free.")
    max_body_bytes: int = Field(default=4 * 2**20, ge=1, description="Bytes of a request, but for uploads.")
    max_upload_bytes: int = Field(default=512 * 2**20, ge=1, description="Bytes of one upload with all its files.")
    uploads: str = Field(
        default="",
        pattern=r"^(s3://[^/?#]+(/[^?#]*)?)?$",
        description="Where uploads go, such as s3://bucket/prefix; unset: NIGHTSHIFT_DATA_DIR/server/uploads.",
    )
    uploads_kept_days: float | None = Field(
        default=None, ge=1, description="Days since they were last sent that uploads are kept which no job needs; "
        "unset: for ever.",
    )  # fmt: skip
    exports_kept_days: float | None = Field(
        default=None, ge=1, description="Days that exports are kept for download; unset: for ever."
    )
    requests_per_s: float = Field(default=50.0, gt=0, description="Requests a second that one token may send.")
    burst: int = Field(default=200, ge=1, description="Requests that it may send at once.")
    export_destinations: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        default=None,
        description="Folders and s3://bucket/prefix that exports may go to, joined by commas; {tenant} is filled; "
        "unset: every bucket, of a server that other machines reach none. Downloads always work.",
    )
    https: bool = Field(
        default=False, description="Whether people reach the server by https, through a proxy; cookies then need it."
    )

    @property
    def uploads_kept_s(self) -> float | None:
        """The same in seconds."""
        return None if self.uploads_kept_days is None else self.uploads_kept_days * DAY_S

    @property
    def exports_kept_s(self) -> float | None:
        """The same in seconds."""
        return None if self.exports_kept_days is None else self.exports_kept_days * DAY_S

    @field_validator("export_destinations", mode="before")
    @classmethod
    def split_commas(cls, value: object) -> object:
        """Take `a,b` from the environment as well as a list from a file."""
        return split_words(value, ",")

    @field_validator("export_destinations")
    @classmethod
    def check_destinations(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Refuse what is neither a folder nor a bucket."""
        if wrong := [each for each in value or () if not each.startswith(("/", "s3://"))]:
            raise ValueError(f"{wrong[0]!r} is no absolute folder and no s3://bucket/prefix")
        return value
