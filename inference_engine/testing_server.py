"""A web server on this machine that speaks Roboflow's weights contract and serves files, with every fault on demand.

with ModelServer() as server:
    server.add_file("/weights.onnx", data)
    server.add_model("pets/1", [server.onnx_package("abc", {"weights.onnx": "/weights.onnx"})])
    options = ProviderOptions(hosts={"roboflow": server.url}, cache_dir=folder)
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

__all__ = ["ModelServer", "Request", "ServedFile"]

WEIGHTS_PATH = "/models/v1/external/weights"
_PIECE = 1 << 14


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; `query` is decoded, header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(slots=True)
class ServedFile:
    """A file and how it is served.

    Attributes:
        etag: sent as it is; empty: none.
        has_ranges: answers `Range` with 206.
        cut_after: bytes after which the connection breaks, once for each number.
        held_after: bytes after which the answer waits until `release` is set.
    """

    data: bytes
    etag: str = '"1"'
    content_type: str = "application/octet-stream"
    has_ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    held_after: int | None = None
    release: threading.Event = field(default_factory=threading.Event)


class ModelServer:
    """The server, on a free port of the loopback address, while the `with` block runs.

    Attributes:
        requests: everything that was asked, in order.
        faults: path -> answers `(status, headers)` that are given first, one a request.
        keys: keys that the metadata wants one of; empty: public.
        head_status: what every HEAD is answered with; 403 as by addresses that are signed for GET.
        page_size: packages an answer.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.keys: set[str] = set()
        self.head_status = 403
        self.page_size = 100
        self.files: dict[str, ServedFile] = {}
        self.models: dict[str, tuple[dict[str, Any], list[Any]]] = {}
        self._http = _Quiet(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Address without a path."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def stop(self) -> None:
        """Answer nobody any more, as when a provider is down."""
        for file in self.files.values():
            file.release.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def add_file(self, path: str, data: bytes, **served: Any) -> ServedFile:
        """Serve a file; keywords are fields of `ServedFile`."""
        self.files[path] = ServedFile(data, **served)
        return self.files[path]

    def add_model(self, model_id: str, packages: Sequence[Any], **metadata: Any) -> None:
        """Serve a model's metadata; keywords change it."""
        facts = {
            "type": "external-model-metadata-v1",
            "modelId": model_id,
            "modelArchitecture": "yolov8",
            "modelVariant": "yolov8n",
            "taskType": "object-detection",
        }
        self.models[model_id] = (facts | metadata, list(packages))

    def onnx_package(self, package_id: str, files: Mapping[str, str], **changes: Any) -> dict[str, Any]:
        """Metadata of an ONNX package of files that are served: name in the package -> path here."""
        manifest = {
            "type": "onnx-model-package-v1",
            "backendType": "onnx",
            "dynamicBatchSize": True,
            "staticBatchSize": None,
            "quantization": "fp32",
            "opset": 17,
        }
        return {
            "type": "external-model-package-v1",
            "packageId": package_id,
            "trustedSource": True,
            "packageManifest": manifest,
            "packageFiles": [self._described(name, path) for name, path in files.items()],
        } | changes

    def asked(self, path: str) -> list[Request]:
        """Requests for one path."""
        return [request for request in self.requests if request.path == path]

    def _described(self, name: str, path: str) -> dict[str, str]:
        md5 = hashlib.md5(self.files[path].data, usedforsecurity=False).hexdigest()
        return {"fileHandle": name, "downloadUrl": self.url + path, "md5Hash": md5}

    def page(self, query: Mapping[str, str]) -> dict[str, Any] | None:
        """The answer to a question for metadata; None where there is no such model."""
        if query.get("modelId", "") not in self.models:
            return None
        facts, packages = self.models[query["modelId"]]
        start = int(query.get("startAfter", 0))
        end = start + self.page_size
        following = {"nextPage": str(end)} if end < len(packages) else {}
        return {"modelMetadata": {**facts, "modelPackages": packages[start:end], **following}}


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that leave in the middle: tests make them."""


def _handler_of(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        models = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    models: ModelServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing: `requests` is the log."""

    def do_HEAD(self) -> None:
        self._note()
        self._answer(self.models.head_status)

    def do_GET(self) -> None:
        request = self._note()
        faults = self.models.faults.get(request.path)
        if faults:
            status, headers = faults.pop(0)
            self._answer(status, headers=headers)
        elif request.path == WEIGHTS_PATH:
            self._metadata(request)
        elif request.path in self.models.files:
            self._file(self.models.files[request.path], request)
        else:
            self._answer(404)

    def _note(self) -> Request:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, query, headers)
        self.models.requests.append(request)
        return request

    def _metadata(self, request: Request) -> None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.models.keys and key not in self.models.keys:
            self._answer(401)
            return
        page = self.models.page(request.query)
        self._answer(404 if page is None else 200, json.dumps(page).encode())

    def _file(self, file: ServedFile, request: Request) -> None:
        start = self._start(file, request)
        headers = {"ETag": file.etag} if file.etag else {}
        headers["Content-Type"] = file.content_type
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(file.data) - 1}/{len(file.data)}"
        if start >= len(file.data) > 0:
            self._answer(416)
            return
        self._send_head(206 if start else 200, len(file.data) - start, headers)
        self._send_pieces(file, start)

    def _start(self, file: ServedFile, request: Request) -> int:
        """First byte that is sent: 0 unless a range was asked for, of this version, and is served."""
        found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        is_other = request.headers.get("if-range", file.etag) != file.etag
        return int(found[1]) if found and file.has_ranges and not is_other else 0

    def _send_pieces(self, file: ServedFile, start: int) -> None:
        cut = file.cut_after.pop(0) if file.cut_after else None
        try:
            for offset in range(start, len(file.data), _PIECE):
                if cut is not None and offset - start >= cut:
                    self.close_connection = True
                    return
                if file.held_after is not None and offset - start >= file.held_after:
                    file.release.wait(60)
                self.wfile.write(file.data[offset : offset + _PIECE])
        except OSError:  # the client was killed, or has enough
            self.close_connection = True

    def _send_head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self._send_head(status, len(body), {"Content-Type": "application/json", **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)
