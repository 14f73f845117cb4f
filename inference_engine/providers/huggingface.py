"""The Hugging Face hub: `hf://org/name@revision`. Whatever the revision is called, files come from the commit it means.

A repository either has package folders, as ours are (each with a `model_config.json`), or is itself one package in the
form of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import httpx

from inference_engine.config_fields import optional_count, section
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
from inference_engine.packages import CONFIG_FILE
from inference_engine.providers import FoundModel, ProviderOptions
from inference_engine.remote_packages import FileHash, RemoteFile, RemotePackage, is_file_name
from inference_engine.transport import RETRIED, get_json, make_client

NAME = "huggingface"
HOST = "https://huggingface.co"
_REFERENCE = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([\w./-]{1,100}))?")
#: Endings of files of a transformers repository that its own loaders never read, or that hold pickles.
_LEFT_OUT = (".md", ".bin", ".h5", ".msgpack", ".pt", ".pth", ".ckpt", ".gitattributes", ".png", ".jpg")


def find(model_id: str, options: ProviderOptions) -> FoundModel:
    """Give the packages of a repository at a revision; `main` where none is named.

    Raises:
        ModelNotFound, ProviderError.
    """
    repository, revision = split(model_id)
    commit, files = _listing(repository, revision, options)
    folders = sorted(name.rpartition("/")[0] for name in files if PurePosixPath(name).name == CONFIG_FILE)
    packages: list[RemotePackage] = []
    broken: dict[str, str] = {}
    for folder in folders:
        try:
            packages.append(_own_package(repository, commit, folder, files, options))
        except (AnswerInvalid, PackageInvalid, KeyError, TypeError) as error:
            broken[folder or repository] = f"{folder}/{CONFIG_FILE}: {type(error).__name__}: {error}"
    if not folders:
        packages.append(_transformers_package(repository, commit, files, options))
    return FoundModel(repository, tuple(packages), broken)


def fetch(package: RemotePackage, file: RemoteFile, options: ProviderOptions) -> Download:
    """Give a file's address at the commit; the key goes to the hub, and httpx drops it where the hub sends us on."""
    place = package.manifest
    path = f"{place['folder']}/{file.name}".lstrip("/")
    return Download(_address(str(place["repository"]), str(place["commit"]), path, options), _headers(options))


def split(model_id: str) -> tuple[str, str]:
    """Repository and revision of `org/name@revision`.

    Raises:
        ModelNotFound: it is not of that form.
    """
    found = _REFERENCE.fullmatch(model_id)
    if found is None:
        raise ModelNotFound(f"{model_id[:200]!r} is not of the form org/name or org/name@revision")
    return found[1], found[2] or "main"


def _listing(repository: str, revision: str, options: ProviderOptions) -> tuple[str, dict[str, RemoteFile]]:
    """The commit, and every file of it with the hash that the hub knows it by."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise ParameterInvalid("hf:// needs huggingface_hub: pip install nightshift[huggingface]") from error
    limits = options.asking_limits
    api = HfApi(endpoint=options.hosts.get(NAME, HOST), token=options.api_keys.get(NAME) or False)
    try:
        info = api.model_info(repository, revision=revision, files_metadata=True, timeout=limits.read_s)
    except HfHubHTTPError as error:
        raise _hub_error(error, repository, revision) from error
    except Exception as error:  # the hub's own client and its errors change between versions
        raise ProviderUnavailable(
            f"{NAME} does not answer for {repository}: {type(error).__name__}: {error}"
        ) from error
    if not info.sha:
        raise AnswerInvalid(f"{NAME} names no commit for {repository}@{revision}")
    files = {sibling.rfilename: _file(sibling) for sibling in info.siblings or () if is_file_name(sibling.rfilename)}
    return info.sha, files


def _file(sibling: Any) -> RemoteFile:
    """Large files are known by sha256, small ones as git blobs; files of odd names, pictures mostly, are left out."""
    lfs = sibling.lfs
    if lfs is not None:
        return RemoteFile(sibling.rfilename, "", FileHash("sha256", lfs.sha256), lfs.size)
    has_hash = sibling.blob_id and sibling.size is not None
    return RemoteFile(sibling.rfilename, "", FileHash("git-sha1", sibling.blob_id) if has_hash else None, sibling.size)


def _own_package(
    repository: str, commit: str, folder: str, files: Mapping[str, RemoteFile], options: ProviderOptions
) -> RemotePackage:
    below = [name for name in files if name.rpartition("/")[0] == folder]
    config = _json(repository, commit, f"{folder}/{CONFIG_FILE}".lstrip("/"), options)
    return RemotePackage(
        package_id=str(config.get("package_id") or folder or PurePosixPath(repository).name),
        model_id=repository,
        provider=NAME,
        kind=str(config["backend_type"]),
        architecture=str(config["model_architecture"]),
        task=str(config["task_type"]),
        quantization=str(config.get("quantization") or "unknown"),
        files=tuple(_named(files[name], PurePosixPath(name).name) for name in below),
        opset=optional_count(section(config, "onnx", folder).get("opset"), "onnx.opset", folder),
        manifest={"repository": repository, "commit": commit, "folder": folder, "requires": config.get("requires")},
    )


def _transformers_package(
    repository: str, commit: str, files: Mapping[str, RemoteFile], options: ProviderOptions
) -> RemotePackage:
    if "config.json" not in files:
        raise ModelNotFound(f"{repository} has neither {CONFIG_FILE} nor config.json: no model that this version reads")
    config = _json(repository, commit, "config.json", options)
    wanted = tuple(file for name, file in files.items() if not name.endswith(_LEFT_OUT))
    return RemotePackage(
        package_id="hf",
        model_id=repository,
        provider=NAME,
        kind="hf",
        architecture=str(config.get("model_type") or "unknown"),
        task=str(config.get("task_type") or ""),
        quantization={"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}.get(
            str(config.get("torch_dtype")), "unknown"
        ),
        files=wanted,
        manifest={
            "repository": repository,
            "commit": commit,
            "folder": "",
            "architectures": config.get("architectures"),
        },
    )


def _named(file: RemoteFile, name: str) -> RemoteFile:
    return RemoteFile(name, "", file.hash, file.size)


def _json(repository: str, commit: str, path: str, options: ProviderOptions) -> dict[str, Any]:
    limits = options.asking_limits
    with make_client(limits) as client:
        return get_json(client, _address(repository, commit, path, options), limits, headers=_headers(options))


def _address(repository: str, commit: str, path: str, options: ProviderOptions) -> str:
    return str(httpx.URL(f"{options.hosts.get(NAME, HOST).rstrip('/')}/{repository}/resolve/{commit}/{path}"))


def _headers(options: ProviderOptions) -> dict[str, str]:
    key = options.api_keys.get(NAME)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _hub_error(error: Any, repository: str, revision: str) -> Exception:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    words = f"{NAME} answers {status} for {repository}@{revision}"
    if status in RETRIED:
        return ProviderUnavailable(words)
    # The hub answers 401 for what does not exist as well, so that private names do not show.
    return {401: Unauthorized, 403: Forbidden, 404: ModelNotFound}.get(status, ProviderError)(words)
