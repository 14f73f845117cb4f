"""The application: routers, guards and error answers, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from producer.server import problems

if TYPE_CHECKING:
    from fastapi import APIRouter

    from producer.server.services import Services

#: Every router, in the order of the documentation.
ROUTERS: tuple[APIRouter, ...] = ()


def create_app(services: Services) -> FastAPI:
    """Give the ASGI application of one server."""
    app = FastAPI(title="nightshift", docs_url=None, redoc_url=None)
    app.state.services = services
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app
