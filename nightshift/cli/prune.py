"""`nightshift prune`."""

from __future__ import annotations

import click

from nightshift.cli.cache import size
from nightshift.cli.output import count, json_option, print_json
from nightshift.cli.times import span
from nightshift.settings import load_settings
from nightshift.stack import open_store


@click.command()
@click.option("--uploads", "uploads_kept_s", callback=span, metavar="30d", help="Remove uploads older than this.")
@click.option("--exports", "exports_kept_s", callback=span, metavar="30d", help="Remove downloads older than this.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@json_option
def prune(uploads_kept_s: float | None, exports_kept_s: float | None, dry_run: bool, as_json: bool) -> None:
    """Remove old uploads and downloads of this machine's server; what jobs need stays.

    Uploads are those in its folder and in its bucket. Without --uploads and --exports the settings say how old:
    NIGHTSHIFT_SERVER__UPLOADS_KEPT_DAYS and EXPORTS_KEPT_DAYS. What a job that has not ended needs stays, and what a
    schedule or an export to be made does, however old.
    """
    from producer.pruning import Pruner

    settings = load_settings()
    server = settings.server
    if uploads_kept_s is None and exports_kept_s is None:
        uploads_kept_s, exports_kept_s = server.uploads_kept_s, server.exports_kept_s
    if uploads_kept_s is None and exports_kept_s is None:
        raise click.UsageError("nothing says how old what is removed has to be: give --uploads 30d or --exports 30d")
    with open_store(settings) as store:
        pruner = Pruner(store, settings.server_dir, server.uploads, uploads_kept_s, exports_kept_s)
        done = pruner.prune(is_trial=dry_run)
    if as_json:
        print_json(done)
        return
    found = f"{count(done.uploads, 'upload')}, {count(done.exports, 'export')}, {size(done.size_bytes)}"
    click.echo(f"{'would remove' if dry_run else 'removed'} {found}")
    if done.needed:
        click.echo(f"kept {count(done.needed, 'old upload')} that jobs or schedules need")
