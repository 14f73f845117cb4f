"""Fixtures live in `tests/fixtures`, by what they start."""

from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.databases",
    "tests.fixtures.broker",
    "tests.fixtures.fleet",
    "tests.fixtures.browsing",
    "tests.fixtures.reaching",
    "tests.fixtures.server",
    "tests.fixtures.evil_http",
]

#: `pytest --hypothesis-profile nightly`: as many sequences as a night has time for.
settings.register_profile("nightly", max_examples=3_000)
