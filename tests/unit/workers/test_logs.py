"""What a line of log says, to whom it belongs, and what it never says."""

from __future__ import annotations

import contextvars
import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference_engine.errors import SessionFailed
from workers.logs import ConsoleFormatter, JsonFormatter, bound, redacted

SECRET = "s3cr3t-V4lue/x+=="  # noqa: S105 (of nothing)


def a_record(message: str = "said", **extra: object) -> logging.LogRecord:
    logger = logging.getLogger("workers.test")
    return logger.makeRecord("workers.test", logging.WARNING, "f.py", 1, message, (), None, "f", extra)


def line(record: logging.LogRecord, **facts: str) -> dict[str, object]:
    return json.loads(JsonFormatter(facts).format(record))


def test_a_line_says_when_who_and_what():
    found = line(a_record(event="shard_finished", seconds=1.5), worker="w1", hardware="cpu")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["ts"])
    assert found["level"] == "warning"
    assert found["service"] == "nightshift"
    assert {"version", "host", "pid", "logger", "message"} < set(found)
    said = (found["event"], found["seconds"], found["worker"], found["hardware"])
    assert said == (
        "shard_finished",
        1.5,
        "w1",
        "cpu",
    )


def test_a_line_belongs_to_what_was_bound_around_it():
    with bound(job_id="j1", model="digits"):
        with bound(shard_id="s1"):
            inner = line(a_record())
        outer = line(a_record())

    assert (inner["job_id"], inner["model"], inner["shard_id"]) == ("j1", "digits", "s1")
    assert "shard_id" not in outer
    assert "job_id" not in line(a_record())


def test_threads_get_what_was_bound_where_they_were_given_their_work():
    with ThreadPoolExecutor(1) as pool:
        with bound(job_id="j1"):
            inner = pool.submit(contextvars.copy_context().run, line, a_record())
        outer = pool.submit(line, a_record())

    assert inner.result()["job_id"] == "j1"
    assert "job_id" not in outer.result()


def test_an_error_has_its_code_and_words():
    record = a_record()
    error = SessionFailed("the session broke")
    record.exc_info = (SessionFailed, error, None)

    found = line(record)

    assert (found["error.code"], found["error.message"]) == (SessionFailed.code, "the session broke")
    assert "SessionFailed" in found["traceback"]


LEAKS = {
    "a database's URL": f"postgresql+psycopg://nightshift:{SECRET}@db/nightshift does not answer",
    "a broker's URL without a user": f"redis://:{SECRET}@redis:6379/0",
    "a token as the user's password": f"cannot read https://user:{SECRET}@host/a.jpg",
    "a password with an at sign": f"redis://:{SECRET}@{SECRET}@redis:6379/0",
    "a signed URL of S3": f"https://b.s3.amazonaws.com/k.jpg?X-Amz-Credential=A&X-Amz-Signature={SECRET}",
    "a signed URL of GCS": f"https://storage.googleapis.com/b/k?X-Goog-Signature={SECRET}&X-Goog-Date=1",
    "a session in a signed URL": f"https://h/k?x-amz-security-token={SECRET}&X-Amz-Signature=00",
    "a signed URL of Azure": f"https://a.blob.core.windows.net/c/k?sv=2024&sig={SECRET}",
    "a key in a query": f"https://api.example.com/m?api_key={SECRET}&v=1",
    "a bearer": f"Authorization: Bearer {SECRET}",
    "a basic header": f"Authorization: Basic {SECRET}",
    "an assignment": f"ROBOFLOW_API_KEY={SECRET}",
    "a variable of AWS": f"AWS_SECRET_ACCESS_KEY={SECRET} AWS_SESSION_TOKEN={SECRET}",
    "a token of the hub": f"HF_TOKEN: {SECRET}",
    "JSON": json.dumps({"password": SECRET, "token": SECRET}),
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS)
def test_no_line_tells_a_secret(text):
    record = a_record(text, uri=text, nested={"uris": [text]}, thing=ValueError(text))
    record.exc_info = (ValueError, ValueError(text), None)

    for written in (JsonFormatter().format(record), ConsoleFormatter().format(record)):
        assert SECRET not in written
        assert "s3cr3t" not in written
    assert json.loads(JsonFormatter().format(record))["logger"] == "workers.test"


@pytest.mark.parametrize(
    "text",
    [
        "https://host/photos/a.jpg?width=640&page=2",
        "s3://bucket/key.jpg",
        "shard 018f of job 77 took 1.5 s: 64 items",
        "/photos/tokens/secrets.jpg",
        "expected the fields v, shard and attempt, found ['a']",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text):
    assert redacted(text) == text
