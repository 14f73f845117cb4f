"""The description and the server agree: schemathesis asks every route what it describes, and what it does not."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from jobstore.tokens import Role
from producer.server.app import create_app
from tests.fixtures.server import bearer, services_on

#: Generated requests a route and kind; a night has time for more.
EXAMPLES = 12


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

    # What a body names may not be there, which no schema can say; but nothing that fits the schema is called malformed.
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
            if mode is GenerationMode.POSITIVE and answer.status_code >= 400:
                assert answer.json()["code"] not in {"request_invalid", "body_invalid"}, answer.text

        try:
            ask()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label  # any text fits each of its parameters
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (every route is asked; all disagreements are told)
            problems.append(f"{operation.label}: {getattr(error, 'exceptions', [error])}")

    assert len(operations) > 25
    assert not problems, "\n\n".join(problems)
