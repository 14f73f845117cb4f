"""The application: routers, guards and error answers, put together, and its description."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from producer.server import pages, problems
from producer.server.describing import described
from producer.server.limits import Limits
from producer.server.pages.remote import RemotePictures
from producer.server.rates import Rates
from producer.server.routes import (
    contents,
    drafts,
    exports,
    fleet,
    health,
    jobs,
    models,
    schedules,
    session,
    uploads,
    webhooks,
)

if TYPE_CHECKING:
    from producer.server.services import Services

#: Every router, in the order of the documentation.
ROUTERS = (
    jobs.router,
    drafts.router,
    contents.router,
    exports.router,
    uploads.router,
    schedules.router,
    webhooks.router,
    models.router,
    fleet.router,
    health.router,
    session.router,
    *pages.ROUTERS,
)


def create_app(services: Services) -> FastAPI:
    """Give the ASGI application of one server."""
    app = FastAPI(title="nightshift", version=version("nightshift"), docs_url=None, redoc_url=None)
    app.state.services = services
    app.state.rates = Rates(services.options.requests_per_s, services.options.burst)
    app.state.remote = RemotePictures(services.options.fetch)
    problems.install(app, ROUTERS)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(Limits, options=services.options)

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = described(get_openapi(title=app.title, version=app.version, routes=app.routes))
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]  # the way that FastAPI documents
    return app
