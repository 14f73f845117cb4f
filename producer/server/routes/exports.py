"""Exports of jobs: ask for one, see how it stands, fetch its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from fetching.errors import FetchDenied
from fetching.paths import NotRegular, open_regular
from jobstore.aftercare import Output
from jobstore.encoding import is_storable
from jobstore.errors import ExportNotFound
from jobstore.export_requests import ExportRequest, ExportState
from jobstore.ids import new_id
from producer.exports import find_format
from producer.server.archive import zipped
from producer.server.auth import Caller, Reader, Submitter
from producer.server.bodies import answer, gives, json_body, listed, takes
from producer.server.errors import ExportNotReady, NotFound
from producer.server.problems import AnsweringRoute
from producer.server.reading import exports_of, is_inside
from producer.wire import ExportAnswer, ExportBody, Page

router = APIRouter(
    prefix="/v1/jobs/{job_id}/exports", tags=["exports"], route_class=AnsweringRoute, default_response_class=Response
)

_CHUNK_BYTES = 2**16


@router.post("", status_code=202, responses=gives(ExportAnswer, 202), openapi_extra=takes(ExportBody))
def ask_export(caller: Submitter, job_id: str, body: Annotated[ExportBody, Depends(json_body(ExportBody))]) -> Response:
    """Ask for an export; a server or a worker machine makes it, and `GET` says when it is there."""
    found = caller.job(job_id)
    for name in body.formats:
        find_format(name)
    dest = exports_of(caller.services.options, caller.tenant) / new_id()
    exports = caller.services.store.exports
    export_id = exports.ask(found, Output(str(dest), body.formats, body.options()))
    place = f"/v1/jobs/{found}/exports/{export_id}"
    return answer(_told(caller, exports.get(export_id, caller.tenant)), 202, {"Location": place})


@router.get("", responses=gives(listed(ExportAnswer)))
def list_exports(caller: Reader, job_id: str) -> Response:
    """List a job's exports, the newest first."""
    found = caller.services.store.exports.of_job(caller.job(job_id))
    return answer(Page([_told(caller, each) for each in found]))


@router.get("/{export_id}", responses=gives(ExportAnswer))
def show_export(caller: Reader, job_id: str, export_id: str) -> Response:
    """Say how an export stands, and what it has written."""
    return answer(_told(caller, _export(caller, job_id, export_id)))


@router.get("/{export_id}/download", responses=gives(media="application/zip"))
def download(caller: Reader, job_id: str, export_id: str) -> Response:
    """Give all files of an export as one zip archive, made while it is read."""
    folder = _folder(caller, _export(caller, job_id, export_id))
    name = f"attachment; filename=nightshift-{export_id[-8:]}.zip"
    return StreamingResponse(zipped(folder), media_type="application/zip", headers={"Content-Disposition": name})


@router.get("/{export_id}/files/{path:path}", responses=gives(media="application/octet-stream"))
def download_file(caller: Reader, job_id: str, export_id: str, path: str) -> Response:
    """Give one file of an export; paths as its `manifest.json` names them."""
    folder = _folder(caller, _export(caller, job_id, export_id))
    try:
        descriptor, size = open_regular(str(folder / path), (str(folder),))
    except (FetchDenied, NotRegular, OSError, ValueError) as error:
        raise NotFound("the export has no such file; its manifest.json lists those that it has") from error
    headers = {"Content-Length": str(size), "Content-Disposition": "attachment"}
    return StreamingResponse(_chunks(descriptor), media_type="application/octet-stream", headers=headers)


def _export(caller: Caller, job_id: str, export_id: str) -> ExportRequest:
    found = caller.job(job_id)
    if not is_storable(export_id):
        raise ExportNotFound("no export has an id with such characters")
    export = caller.services.store.exports.get(export_id, caller.tenant)
    if export.job_id != found:
        raise ExportNotFound(f"no export {export_id}: see the exports of its job")
    return export


def _is_here(caller: Caller, export: ExportRequest) -> bool:
    return "://" not in export.output.dest and is_inside(
        export.output.dest, exports_of(caller.services.options, caller.tenant)
    )


def _folder(caller: Caller, export: ExportRequest) -> Path:
    if export.state is not ExportState.DONE:
        why = f": {export.message}" if export.message else ""
        raise ExportNotReady(f"the export is {export.state}{why}; ask for it when it is done")
    if not _is_here(caller, export):
        raise ExportNotReady(f"this export was written to {export.output.dest}: fetch it there")
    return Path(export.output.dest)


def _told(caller: Caller, export: ExportRequest) -> ExportAnswer:
    """Leave out where on the server it lies, unless the job's submitter said so."""
    is_here, is_done = _is_here(caller, export), export.state is ExportState.DONE
    place = f"/v1/jobs/{export.job_id}/exports/{export.export_id}/download"
    plain = ("export_id", "job_id", "tries", "message", "created", "finished")
    known = {name: getattr(export, name) for name in plain}
    return ExportAnswer(
        **known,
        state=export.state,
        formats=export.output.formats,
        options=export.output.options,
        dest=None if is_here else export.output.dest,
        download=place if is_here and is_done else None,
        written=tuple(
            {name: value for name, value in each.items() if name in ("format", "items", "objects", "problems")}
            for each in export.summary
        ),
    )


def _chunks(descriptor: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
