"""Models: those that the server finds, and which backend would run one."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Response

from jobstore.errors import InvalidJob
from jobstore.wishes import check_wishes
from producer.answers import Page
from producer.explaining import meant_machine
from producer.gateway import Explanation
from producer.server.auth import Reader
from producer.server.bodies import answer, gives, listed
from producer.server.paging import refused, storable_text
from producer.server.problems import AnsweringRoute
from producer.server.reading import is_path
from producer.wire import decode

router = APIRouter(prefix="/v1", tags=["models"], route_class=AnsweringRoute, default_response_class=Response)

_MODEL: dict[str, Any] = {"type": "object"}


@router.get("/models", responses=gives(listed(_MODEL)))
def list_models(caller: Reader) -> Response:
    """List the models of the server's folders, with their packages."""
    return answer(Page(caller.services.list_models()))


@router.get("/models/{model:path}/explain", responses=gives(Explanation))
def explain(
    caller: Reader,
    model: Annotated[str, Path(min_length=1, max_length=256)],
    hardware: Annotated[str, Query(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")] = "auto",
    wishes: Annotated[str, Query(max_length=4096, description='As a job\'s, as JSON: {"backend": "onnx"}')] = "{}",
    assume: Annotated[
        bool, Query(description="Of a class that no worker reported, assume what its name implies")
    ] = False,
) -> Response:
    """Say which backend would run a model on the fleet's machines of a class, and why not the others.

    The machine is that of the class's newest worker, or of the last one that was heard; `auto` is the best class that
    is served, or else the server's own machine.
    """
    if is_path(storable_text("model", model)):
        raise refused("model", "expected a model's id; paths of the server are not looked into")
    services, asked = caller.services, _wishes(wishes)
    return answer(services.explain(model, meant_machine(services.store.fleet, hardware, assume=assume), asked))


def _wishes(text: str) -> dict[str, Any]:
    try:
        found = decode(text, dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidJob(f"wishes: expected a JSON object ({error})") from error
    if problems := check_wishes(found):
        raise InvalidJob("; ".join(problems))
    return found
