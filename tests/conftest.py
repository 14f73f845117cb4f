"""Fixtures live in `tests/fixtures`, by what they start."""

from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.spreading",
    "tests.fixtures.databases",
    "tests.fixtures.broker",
    "tests.fixtures.fleet",
    "tests.fixtures.browsing",
    "tests.fixtures.server",
    "tests.fixtures.gateways",
    "tests.fixtures.installing",
    "tests.fixtures.reaching",
    "tests.fixtures.encrypted",
    "tests.fixtures.evil_http",
    "tests.fixtures.buckets",
    "tests.fixtures.flawed_s3",
]

#: `pytest --hypothesis-profile nightly`: as many sequences as a night has time for.
settings.register_profile("nightly", max_examples=3_000)
