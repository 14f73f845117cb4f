"""Packages behind a manifest, on any web server or in a bucket: `https://host/manifest.json`, `s3://bucket/manifest.json`.

    {"schema_version": 1, "model_id": "pets", "model_architecture": "yolov8", "task_type": "object-detection",
     "packages": [{"package_id": "onnx-fp32", "backend_type": "onnx", "quantization": "fp32", "opset": 17,
                   "static_batch_size": null, "max_batch_size": 8,
                   "files": [{"name": "model.onnx", "path": "onnx/model.onnx", "sha256": "...", "size": 12345}]}]}

`path` is relative to the manifest and stays below its folder; without one it is the name, below a folder called after
the package. In a bucket, files are fetched by addresses that are signed for an hour, so that a cut download resumes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from inference_engine.config_fields import optional_count
from inference_engine.downloads import Download
from inference_engine.errors import (
    AnswerInvalid,
    Forbidden,
    ModelNotFound,
    PackageInvalid,
    ParameterInvalid,
    ProviderError,
    ProviderUnavailable,
    Unauthorized,
)
from inference_engine.package_sections import PRECISIONS
from inference_engine.providers import FoundModel, ProviderOptions
from inference_engine.remote_packages import FileHash, RemoteFile, RemotePackage
from inference_engine.transport import RETRIED, check_url, get_json, make_client, shown

NAME = "manifest"
SCHEMA_VERSION = 1
MAX_MANIFEST_BYTES = 16 * 2**20
SIGNED_S = 3600


def find(model_id: str, options: ProviderOptions) -> FoundModel:
    """Read the manifest at an address; a package that we cannot read is given with its reason.

    Raises:
        ModelNotFound, ProviderError.
        ParameterInvalid: the address has a user, a query or a fragment.
    """
    parts = urlsplit(model_id)
    if parts.query or parts.fragment or "@" in parts.netloc or not parts.path.endswith(".json"):
        raise ParameterInvalid(f"{shown(model_id)}: expected the plain address of a .json file, without user and query")
    data = _read_bucket(model_id, options) if parts.scheme == "s3" else _read_web(model_id, options)
    if data.get("schema_version") != SCHEMA_VERSION:
        raise AnswerInvalid(
            f"{model_id}: schema_version {data.get('schema_version')!r}, this version reads {SCHEMA_VERSION}"
        )
    found = str(data.get("model_id") or PurePosixPath(parts.path).parent.name)
    packages: dict[str, RemotePackage] = {}
    broken: dict[str, str] = {}
    if not isinstance(data.get("packages"), list):
        raise AnswerInvalid(f"{model_id}: packages must be a list, found {str(data.get('packages'))[:80]!r}")
    for number, entry in enumerate(data["packages"]):
        name = str(entry.get("package_id") if isinstance(entry, dict) else number)
        try:
            packages[name] = _package(entry, data, found, model_id)
        except (AnswerInvalid, PackageInvalid, KeyError, TypeError, AttributeError) as error:
            broken[name] = f"{model_id}: {type(error).__name__}: {error}"
    return FoundModel(found, tuple(packages.values()), broken)


def fetch(package: RemotePackage, file: RemoteFile, options: ProviderOptions) -> Download:
    """Give a file's address, signed where it is in a bucket; what is kept of a manifest has none."""
    if not file.source:
        raise ProviderUnavailable(
            f"where {package.package_id}/{file.name} is says its manifest, which cannot be read now"
        )
    if not file.source.startswith("s3://"):
        return Download(file.source)
    parts = urlsplit(file.source)
    place = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
    return Download(_bucket_client(options).generate_presigned_url("get_object", Params=place, ExpiresIn=SIGNED_S))


def _package(entry: Mapping[str, Any], model: Mapping[str, Any], model_id: str, address: str) -> RemotePackage:
    quantization = entry.get("quantization", "unknown")
    if quantization not in PRECISIONS:
        raise AnswerInvalid(f"quantization {quantization!r}, expected one of {', '.join(PRECISIONS)}")
    package_id = str(entry["package_id"])
    counts = ("static_batch_size", "max_batch_size", "opset")
    static, most, opset = (optional_count(entry.get(name), name, package_id) for name in counts)
    return RemotePackage(
        package_id=package_id,
        model_id=model_id,
        provider=NAME,
        kind=str(entry["backend_type"]),
        architecture=str(entry.get("model_architecture") or model["model_architecture"]),
        task=str(entry.get("task_type") or model["task_type"]),
        quantization=quantization,
        files=tuple(_file(file, address, package_id) for file in entry["files"]),
        static_batch_size=static,
        max_batch_size=static or most or 64,
        opset=opset,
        manifest=dict(entry.get("manifest") or {}) | ({"requires": entry["requires"]} if "requires" in entry else {}),
        features=dict(entry.get("features") or {}),
    )


def _file(data: Mapping[str, Any], address: str, package_id: str) -> RemoteFile:
    path = str(data.get("path") or f"{package_id}/{data['name']}")
    RemoteFile(path)  # a path has the form of a name: relative, and nowhere up
    hashes = [FileHash(algorithm, data[algorithm]) for algorithm in ("sha256", "md5") if algorithm in data]
    return RemoteFile(
        str(data["name"]),
        f"{address.rpartition('/')[0]}/{path}",
        next(iter(hashes), None),
        optional_count(data.get("size"), "size", path),
    )


def _read_web(address: str, options: ProviderOptions) -> dict[str, Any]:
    limits = options.asking_limits
    check_url(address, limits)
    with make_client(limits) as client:
        return get_json(client, address, limits)


def _read_bucket(address: str, options: ProviderOptions) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(address)
    try:
        found = _bucket_client(options).get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
        data = json.loads(found["Body"].read(MAX_MANIFEST_BYTES))
    except ClientError as error:
        raise _bucket_error(error, address) from error
    except BotoCoreError as error:
        raise ProviderUnavailable(f"{address}: {type(error).__name__}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise AnswerInvalid(f"{address} is no JSON of at most {MAX_MANIFEST_BYTES} bytes ({error})") from error
    if not isinstance(data, dict):
        raise AnswerInvalid(f"{address}: expected a JSON object, found {type(data).__name__}")
    return data


def _bucket_error(error: Any, address: str) -> Exception:
    code, status = error.response["Error"].get("Code", ""), error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    kind = {401: Unauthorized, 403: Forbidden, 404: ModelNotFound}.get(status, ProviderError)
    return (ProviderUnavailable if status in RETRIED else kind)(f"{address}: the bucket answers {status} {code}")


def _bucket_client(options: ProviderOptions) -> Any:
    """A client that finds credentials as every program for S3 does: this is boto3's part, and not ours."""
    import boto3
    from botocore.config import Config

    limits = options.asking_limits
    config = Config(
        connect_timeout=limits.connect_s,
        read_timeout=limits.read_s,
        retries={"total_max_attempts": limits.attempts, "mode": "standard"},
        signature_version="s3v4",
    )
    return boto3.client("s3", endpoint_url=options.hosts.get("s3"), config=config)
