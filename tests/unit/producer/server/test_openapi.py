"""The description and the server agree: schemathesis asks every route what it describes, and what it does not."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from jobstore import wishes
from jobstore.tokens import Role
from producer.jobfile.model import JobFile
from producer.server import constraints
from producer.server.app import create_app
from tests.fixtures.server import bearer, services_on

#: Generated requests a route and kind; a night has time for more.
EXAMPLES = 12
#: What requests that fit the description are refused for, since no JSON Schema can say it: route -> code -> why.
CURSOR = {"cursor_invalid": "a cursor is opaque: one that no page gave is no text of another form"}
JOB = {
    "source_denied": "which folders, hosts and buckets are read is the operator's setting; a model may be a path, too",
    "invalid_job": "of a video, end_s lies behind start_s",
    "destination_denied": "which buckets and folders exports may go to is the operator's setting",
}
SOURCES = {
    "source_not_found": "what a source names may not be there",
    "source_invalid": "of a date in a source, the form of its offset",
}
BEYOND_SCHEMA = {
    "POST /v1/jobs": JOB | SOURCES,
    "POST /v1/drafts": JOB,
    "PUT /v1/schedules/{name}": JOB | SOURCES | {"job_file_invalid": "what crontab's fields and IANA's zones are"},
    "POST /v1/uploads": {"source_unsupported": "the ending of a file's name, which a form's part has in its header"},
    "GET /v1/models/{model}/explain": {
        "invalid_job": "a text that is JSON of wishes",
        "request_invalid": "which ids of models are paths",
    },
    "GET /v1/jobs": CURSOR,
    "GET /v1/webhooks": CURSOR,
}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: f"{mode.value} requests")
def test_every_answer_is_one_that_the_description_promises(mode, sqlite_store, tmp_path):
    services = services_on(sqlite_store, tmp_path, requests_per_s=1e6, burst=10**6)
    described = schemathesis.openapi.from_asgi("/openapi.json", create_app(services))
    token = bearer(sqlite_store, Role.OPERATOR)

    @described.auth()  # so that it is known as ours: beside it, each route is asked with none, and with a wrong one
    class Token:
        def get(self, *_):
            return token

        def set(self, case, data, _):
            case.headers.update(data)

    # Of these, the codes are held against the table below.
    described.config.checks.positive_data_acceptance.expected_statuses += ["422"]
    operations = [found.ok() for found in described.get_all_operations()]
    problems: list[str] = []

    for operation in operations:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case):
            answer = case.call_and_validate()
            if mode is GenerationMode.POSITIVE and answer.status_code in (400, 422):
                assert answer.json()["code"] in BEYOND_SCHEMA.get(case.operation.label, {}), answer.text

        try:
            ask()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label  # any text fits each of its parameters
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (every route is asked; all disagreements are told)
            problems.append(f"{operation.label}: {getattr(error, 'exceptions', [error])}")

    assert len(operations) > 25
    assert not problems, "\n\n".join(problems)


def test_what_a_job_may_wish_is_described():
    assert set(constraints.WISHES) == set(wishes.WISHES)
    assert JobFile.model_fields.keys() == constraints.job_file()["JobFile"]["properties"].keys()
