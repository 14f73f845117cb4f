"""`nightshift db`."""

from __future__ import annotations

import click

from nightshift.cli.errors import ERROR
from nightshift.cli.output import json_option, print_json
from nightshift.settings import Settings, load_settings


@click.group()
def db() -> None:
    """Upgrade or check the database's schema."""


@db.command()
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the database to this version's schema; nothing happens where it is there already."""
    settings = _prepared()
    import migrations

    before = migrations.current(settings.store_url)
    migrations.upgrade(settings.store_url)
    after = migrations.current(settings.store_url)
    if as_json:
        print_json({"before": before, "after": after})
    else:
        click.echo(f"schema {after}, as before" if before == after else f"schema {before or 'none'} -> {after}")


@db.command()
@json_option
def current(as_json: bool) -> None:
    """Print the database's schema version."""
    settings = _prepared()
    import migrations

    version = migrations.current(settings.store_url)
    if as_json:
        print_json({"current": version, "head": migrations.head()})
    else:
        click.echo(version or "none")


@db.command()
@json_option
def check(as_json: bool) -> int:
    """Leave with status 0 if the schema is this version's, else with 1."""
    settings = _prepared()
    from jobstore.errors import SchemaOutdated
    from jobstore.store import JobStore

    with JobStore.open(settings.store_url) as store:
        try:
            store.check_schema()
        except SchemaOutdated as error:
            if not as_json:
                raise
            print_json({"is_current": False, "message": str(error)})
            return ERROR
    if as_json:
        print_json({"is_current": True})
    else:
        click.echo("the schema is this version's")
    return 0


def _prepared() -> Settings:
    """Give the settings, with a folder for the default database to lie in."""
    settings = load_settings()
    if settings.database_url is None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    return settings
