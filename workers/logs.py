"""Logs of a worker machine: one line an event on standard error, JSON in production."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Libraries that tell each step at INFO.
_CHATTY = ("celery", "kombu", "amqp", "alembic")


def configure_logging(level: str, log_format: str) -> None:
    """Send the process's records to standard error.

    Args:
        log_format: `console` or `json`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else ConsoleFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # By itself stamina tells retries to structlog, which prints on standard output, where results are on their way.
    set_on_retry_hooks([LoggingOnRetryHook])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with whatever `extra` a record carries."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, Any] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        line.update({key: value for key, value in vars(record).items() if key not in _PLAIN})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class ConsoleFormatter(logging.Formatter):
    """Time, level, logger, message: for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")
