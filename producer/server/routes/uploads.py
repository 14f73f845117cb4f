"""Uploads: files that are then sources of their tenant's jobs."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import UploadFile

from producer.answers import Page, Presigned, Uploaded
from producer.server.auth import Submitter
from producer.server.bodies import answer, gives, json_body, listed, takes
from producer.server.errors import MediaUnsupported, RequestInvalid
from producer.server.limits import UPLOADS_PATH
from producer.server.problems import AnsweringRoute
from producer.server.uploads import keep, presign, uploads_of
from producer.wire import PresignBody

router = APIRouter(tags=["uploads"], route_class=AnsweringRoute, default_response_class=Response)

MULTIPART = "multipart/form-data"
MAX_FILES = 1000
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["files"],
    "properties": {"files": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
}


@router.post(
    UPLOADS_PATH,
    status_code=201,
    responses=gives(listed(Uploaded), 201),
    openapi_extra={"requestBody": {"required": True, "content": {MULTIPART: {"schema": _BODY}}}},
)
async def upload(caller: Submitter, request: Request) -> Response:
    """Take pictures and videos (form field `files`), and give the URIs that a job names as its sources."""
    if not request.headers.get("content-type", "").lower().startswith(MULTIPART):
        raise MediaUnsupported(f"the body is no {MULTIPART}: curl -F files=@photo.jpg sends one")
    async with request.form(max_files=MAX_FILES, max_fields=10) as form:
        files = [value for name, value in form.multi_items() if name == "files" and isinstance(value, UploadFile)]
        if not files:
            raise RequestInvalid("no file came in the form's field `files`: curl -F files=@photo.jpg sends one")
        place = uploads_of(caller.services.options, caller.tenant)
        kept = [await run_sync(keep, place, each.filename or "", each.file) for each in files]
    return answer(Page(kept), 201)


@router.post(
    f"{UPLOADS_PATH}:presign",
    status_code=201,
    responses=gives(listed(Presigned), 201),
    openapi_extra=takes(PresignBody),
)
def presign_uploads(caller: Submitter, body: Annotated[PresignBody, Depends(json_body(PresignBody))]) -> Response:
    """Give requests by which files are sent to the bucket of uploads itself, and the URIs that jobs then name."""
    options = caller.services.options
    found = presign(uploads_of(options, caller.tenant), body.files, options.max_upload_bytes)
    return answer(Page(found), 201)
