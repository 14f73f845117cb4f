"""Roboflow's weights service: `GET /models/v1/external/weights`, in pages. The key goes to that host only."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from inference_engine.downloads import Download
from inference_engine.errors import AnswerInvalid, ModelNotFound, ProviderUnavailable
from inference_engine.package_sections import PRECISIONS
from inference_engine.providers import FoundModel, ProviderOptions
from inference_engine.remote_packages import FileHash, RemoteFile, RemotePackage
from inference_engine.transport import Limits, check_url, get_json, make_client

logger = logging.getLogger(__name__)

NAME = "roboflow"
HOST = "https://api.roboflow.com"
PATH = "/models/v1/external/weights"
PAGE_SIZE = 100
#: A model has tens of packages; a provider that goes on for ever is broken.
MAX_PAGES = 1000
METADATA_TYPE = "external-model-metadata-v1"
PACKAGE_TYPE = "external-model-package-v1"
#: Type of a manifest -> our kind of package.
KINDS = {
    "onnx-model-package-v1": "onnx",
    "trt-model-package-v1": "trt",
    "torch-model-package-v1": "torch",
    "torch-script-model-package-v1": "torch-script",
    "hf-model-package-v1": "hf",
}
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,3}")
_PACKAGE_ID = re.compile(r"[A-Za-z0-9]{1,255}")


@dataclass(frozen=True, slots=True)
class _Model:
    """What holds for all packages of an answer."""

    model_id: str
    architecture: str
    task: str


def find(model_id: str, options: ProviderOptions) -> FoundModel:
    """Give every package of a model; one that we cannot read is given with its reason.

    Raises:
        ModelNotFound, ProviderError.
    """
    if not _MODEL_ID.fullmatch(model_id):
        raise ModelNotFound(f"{model_id[:200]!r} is not an id such as project/1")
    pages = list(_pages(model_id, options))
    model = _model(pages[0], model_id)
    packages: dict[str, RemotePackage] = {}
    broken: dict[str, str] = {}
    for number, data in enumerate(data for page in pages for data in _list(page, "modelPackages")):
        name = _name(data, number)
        try:
            package = read_package(data, model)
        except AnswerInvalid as error:
            logger.warning("package %s of %s is left out: %s", name, model_id, error)
            broken[name] = str(error)
            continue
        if packages.setdefault(name, package) != package:
            broken[name] = f"two packages of {model_id} have the id {name}: the first is used"
    if not packages and not broken:
        raise ModelNotFound(f"{NAME} knows {model_id!r} and has no package of it")
    return FoundModel(model.model_id, tuple(packages.values()), broken)


def fetch(package: RemotePackage, file: RemoteFile, options: ProviderOptions) -> Download:  # noqa: ARG001
    """Give a file's address; an answer that was kept has none, since it may be signed."""
    if not file.source:
        raise ProviderUnavailable(f"{NAME} has not said where {package.package_id}/{file.name} is, and did not answer")
    return Download(file.source)


def read_package(data: Any, model: _Model) -> RemotePackage:
    """Read one entry of `modelPackages`.

    Raises:
        AnswerInvalid: it is malformed, or of a type that this version does not know.
    """
    if not isinstance(data, dict) or data.get("type") != PACKAGE_TYPE:
        found = data.get("type") if isinstance(data, dict) else data
        raise AnswerInvalid(f"expected a package of type {PACKAGE_TYPE}, found {str(found)[:80]!r}")
    manifest = _object(data, "packageManifest")
    kind = KINDS.get(str(manifest.get("type")))
    if kind is None:
        raise AnswerInvalid(f"manifest type {manifest.get('type')!r}: this version reads {', '.join(KINDS)}")
    static, most = _batch(manifest, kind)
    if kind == "trt":
        _text(manifest, "trtVersion")  # a plan that does not say what built it cannot be judged
    return RemotePackage(
        package_id=_text(data, "packageId", _PACKAGE_ID),
        model_id=model.model_id,
        provider=NAME,
        kind=kind,
        architecture=model.architecture,
        task=model.task,
        quantization=_precision(manifest),
        files=tuple(map(_file, _list(data, "packageFiles"))),
        static_batch_size=static,
        max_batch_size=most,
        opset=_count(manifest, "opset"),
        manifest=manifest | ({"memoryProfile": profile} if (profile := _object(data, "memoryProfile")) else {}),
        features=_object(data, "modelFeatures"),
        is_trusted=data.get("trustedSource") is True,
    )


def _pages(model_id: str, options: ProviderOptions) -> Iterator[dict[str, Any]]:
    """Every page; an answer that repeats a token, or never ends, is refused rather than cut off."""
    limits = options.asking_limits
    ask = _asker(options.hosts.get(NAME, HOST).rstrip("/") + PATH, options, limits)
    with make_client(limits) as client:
        token: Any = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = ask(
                client, {"modelId": model_id, "pageSize": str(PAGE_SIZE), **({"startAfter": token} if token else {})}
            )
            yield page
            token = page.get("nextPage") or None
            if token is None:
                return
            if not isinstance(token, str) or token in seen:
                raise AnswerInvalid(
                    f"{NAME} repeats page {str(token)[:80]!r} of {model_id!r}: its packages have no end"
                )
            seen.add(token)
    raise AnswerInvalid(f"{NAME} gives over {MAX_PAGES} pages of {model_id!r}")


def _asker(
    url: str, options: ProviderOptions, limits: Limits
) -> Callable[[httpx.Client, Mapping[str, str]], dict[str, Any]]:
    check_url(url, limits)
    key = options.api_keys.get(NAME)
    headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(client: httpx.Client, query: Mapping[str, str]) -> dict[str, Any]:
        # No redirects: whoever is redirected to would get the question, and its answer would be believed.
        data = get_json(client, url, limits, params=query, headers=headers, follow_redirects=False)
        return _object(data, "modelMetadata")

    return ask


def _model(page: Mapping[str, Any], asked: str) -> _Model:
    if page.get("type") != METADATA_TYPE:
        raise AnswerInvalid(f"{NAME}: expected metadata of type {METADATA_TYPE}, found {str(page.get('type'))[:80]!r}")
    model_id = page.get("modelId") or asked
    return _Model(str(model_id), _text(page, "modelArchitecture"), str(page.get("taskType") or ""))


def _batch(manifest: Mapping[str, Any], kind: str) -> tuple[int | None, int]:
    """Static batch size and largest batch: not dynamic means static, and dynamic means no static size."""
    static, is_dynamic = _count(manifest, "staticBatchSize"), manifest.get("dynamicBatchSize")
    if kind == "hf" and static is None:
        return None, 64
    if not isinstance(is_dynamic, bool) or is_dynamic == (static is not None):
        raise AnswerInvalid(f"dynamicBatchSize {is_dynamic!r} and staticBatchSize {static!r} contradict each other")
    if kind != "trt" or static is not None:
        return static, static or 64
    least, best, most = (_count(manifest, f"{name}BatchSize") for name in ("min", "opt", "max"))
    if least is None or best is None or most is None or not least <= best <= most:
        raise AnswerInvalid(f"a dynamic plan needs min <= opt <= max batch sizes, found {least}, {best}, {most}")
    return None, most


def _precision(manifest: Mapping[str, Any]) -> str:
    found = str(manifest.get("quantization") or "unknown").lower()
    if found not in PRECISIONS:
        raise AnswerInvalid(f"quantization {found[:80]!r}, expected one of {', '.join(PRECISIONS)}")
    return found


def _file(data: Any) -> RemoteFile:
    if not isinstance(data, dict):
        raise AnswerInvalid(f"expected a file as an object, found {str(data)[:80]!r}")
    md5 = data.get("md5Hash")
    return RemoteFile(
        _text(data, "fileHandle"),
        _text(data, "downloadUrl"),
        FileHash("md5", str(md5).lower()) if md5 else None,
    )


def _name(data: Any, number: int) -> str:
    found = data.get("packageId") if isinstance(data, dict) else None
    return found[:255] if isinstance(found, str) and found else f"package {number + 1}"


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    if not isinstance(value, list):
        raise AnswerInvalid(f"{key} must be a list, found {str(value)[:80]!r}")
    return value


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, dict):
        raise AnswerInvalid(f"{key} must be an object, found {str(value)[:80]!r}")
    return value


def _text(data: Mapping[str, Any], key: str, form: re.Pattern[str] | None = None) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value or (form and not form.fullmatch(value)):
        raise AnswerInvalid(
            f"{key} must be a text{f' of the form {form.pattern}' if form else ''}, found {str(value)[:80]!r}"
        )
    return value


def _count(data: Mapping[str, Any], key: str) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise AnswerInvalid(f"{key} must be a positive whole number, found {str(value)[:80]!r}")
    return value
