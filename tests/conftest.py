"""Fixtures live in `tests/fixtures`, by what they start."""

pytest_plugins = [
    "tests.fixtures.databases",
    "tests.fixtures.broker",
    "tests.fixtures.fleet",
    "tests.fixtures.reaching",
]
