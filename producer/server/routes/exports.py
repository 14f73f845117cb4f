"""Exports of jobs: ask for one, see how it stands, fetch its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from fetching.errors import FetchDenied
from fetching.paths import NotRegular, open_regular
from jobstore.aftercare import SHELF
from jobstore.encoding import is_storable
from jobstore.errors import ExportNotFound
from jobstore.export_requests import ExportRequest, ExportState
from producer.answers import ExportAnswer, Page
from producer.server.aftercare import output_of, shelf_of
from producer.server.auth import Caller, Reader, Submitter
from producer.server.bodies import answer, gives, json_body, listed, takes
from producer.server.errors import ExportNotReady, NotFound
from producer.server.problems import AnsweringRoute
from producer.server.sending import IfRange, Range, Wanted, send_file, sends
from producer.shelf import Shelf
from producer.wire import ExportBody

router = APIRouter(
    prefix="/v1/jobs/{job_id}/exports", tags=["exports"], route_class=AnsweringRoute, default_response_class=Response
)


@router.post("", status_code=202, responses=gives(ExportAnswer, 202), openapi_extra=takes(ExportBody))
def ask_export(caller: Submitter, job_id: str, body: Annotated[ExportBody, Depends(json_body(ExportBody))]) -> Response:
    """Ask for an export; a server or a worker machine makes it, and `GET` says when it is there."""
    found = caller.job(job_id)
    exports = caller.services.store.exports
    export_id = exports.ask(found, output_of(caller, body))
    place = f"/v1/jobs/{found}/exports/{export_id}"
    return answer(_told(exports.get(export_id, caller.tenant)), 202, {"Location": place})


@router.get("", responses=gives(listed(ExportAnswer)))
def list_exports(caller: Reader, job_id: str) -> Response:
    """List a job's exports, the newest first."""
    found = caller.services.store.exports.of_job(caller.job(job_id))
    return answer(Page([_told(each) for each in found]))


@router.get("/{export_id}", responses=gives(ExportAnswer))
def show_export(caller: Reader, job_id: str, export_id: str) -> Response:
    """Say how an export stands, and what it has written."""
    return answer(_told(_export(caller, job_id, export_id)))


@router.get("/{export_id}/download", responses=sends("application/zip"))
def download(caller: Reader, job_id: str, export_id: str, *, part: Range = None, if_range: IfRange = None) -> Response:
    """Give all files of an export as one zip archive; a download that was cut off goes on where it was."""
    export = _export(caller, job_id, export_id)
    path = _shelf(caller, export).archive(caller.tenant, export_id)
    return _sent(path, f"nightshift-{export_id[-8:]}.zip", "application/zip", Wanted(part, if_range))


@router.get("/{export_id}/files/{path:path}", responses=sends("application/octet-stream"))
def download_file(
    caller: Reader, job_id: str, export_id: str, path: str, *, part: Range = None, if_range: IfRange = None
) -> Response:
    """Give one file of an export; paths as its `manifest.json` names them."""
    export = _export(caller, job_id, export_id)
    folder = _shelf(caller, export).place(caller.tenant, export_id)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", path.rpartition("/")[2])
    return _sent(folder / path, name, "application/octet-stream", Wanted(part, if_range), folder)


def _export(caller: Caller, job_id: str, export_id: str) -> ExportRequest:
    found = caller.job(job_id)
    if not is_storable(export_id):
        raise ExportNotFound("no export has an id with such characters")
    export = caller.services.store.exports.get(export_id, caller.tenant)
    if export.job_id != found:
        raise ExportNotFound(f"no export {export_id}: see the exports of its job")
    return export


def _shelf(caller: Caller, export: ExportRequest) -> Shelf:
    """Give where the files of an export are, if they are there, and here."""
    if export.state is not ExportState.DONE:
        why = f": {export.message}" if export.message else ""
        raise ExportNotReady(f"the export is {export.state}{why}; ask for it when it is done")
    if not is_kept(export):
        raise ExportNotReady(f"this export was written to {export.output.dest}: fetch it there")
    shelf = shelf_of(caller)
    if export.output.dest != shelf.dest:
        raise ExportNotReady("another server keeps this export: ask that one, or let both share a data folder")
    return shelf


def _sent(path: Path, name: str, media: str, wanted: Wanted, root: Path | None = None) -> Response:
    try:
        descriptor, _ = open_regular(str(path), (str(root or path.parent),))
    except (FetchDenied, NotRegular, OSError, ValueError) as error:
        raise NotFound("the export has no such file; its manifest.json lists those that it has") from error
    return send_file(descriptor, name, media, wanted)


def is_kept(export: ExportRequest) -> bool:
    """Say whether a server keeps an export for download."""
    return export.output.dest.startswith(SHELF)


def _told(export: ExportRequest) -> ExportAnswer:
    """Leave out where on the server it lies."""
    is_done = export.state is ExportState.DONE
    place = f"/v1/jobs/{export.job_id}/exports/{export.export_id}/download"
    plain = ("export_id", "job_id", "tries", "message", "created", "finished")
    known = {name: getattr(export, name) for name in plain}
    return ExportAnswer(
        **known,
        state=export.state,
        formats=export.output.formats,
        options=export.output.options,
        dest=None if is_kept(export) else export.output.dest,
        download=place if is_kept(export) and is_done else None,
        written=tuple(
            {name: value for name, value in each.items() if name in ("format", "items", "objects", "problems")}
            for each in export.summary
        ),
    )
