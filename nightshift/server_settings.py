"""What a person says about the HTTP server."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


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
    requests_per_s: float = Field(default=50.0, gt=0, description="Requests a second that one token may send.")
    burst: int = Field(default=200, ge=1, description="Requests that it may send at once.")
    https: bool = Field(
        default=False, description="Whether people reach the server by https, through a proxy; cookies then need it."
    )
