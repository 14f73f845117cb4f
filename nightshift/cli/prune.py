"""`nightshift prune`."""

from __future__ import annotations

import click

from nightshift.cli.cache import size
from nightshift.cli.output import count, json_option, plain, print_json
from nightshift.cli.times import span
from nightshift.settings import load_settings
from nightshift.stack import open_store


@click.command()
@click.option("--uploads", "uploads_kept_s", callback=span, metavar="30d", help="Remove uploads older than this.")
@click.option("--exports", "exports_kept_s", callback=span, metavar="30d", help="Remove downloads older than this.")
@click.option("--workers", "workers_kept_s", callback=span, metavar="30d", help="Forget workers silent for longer.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@json_option
def prune(
    uploads_kept_s: float | None,
    exports_kept_s: float | None,
    workers_kept_s: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove old files of this machine's server and forget old workers; what jobs need stays.

    Uploads are those in its folder and in its bucket. Where no option says how old, the settings do:
    NIGHTSHIFT_SERVER__UPLOADS_KEPT_DAYS and EXPORTS_KEPT_DAYS, without which files stay, and
    NIGHTSHIFT_WORKER__RECORDS_KEPT_S. What a job that has not ended needs stays, and what a schedule or an export to be
    made does, however old; so does the last worker of each hardware class, whose machine models are explained for.
    """
    from producer.pruning import Pruner

    settings = load_settings()
    server = settings.server
    if (uploads_kept_s, exports_kept_s, workers_kept_s) == (None, None, None):
        uploads_kept_s, exports_kept_s = server.uploads_kept_s, server.exports_kept_s
        workers_kept_s = settings.worker.records_kept_s
    with open_store(settings) as store:
        pruner = Pruner(store, settings.server_dir, server.uploads, uploads_kept_s, exports_kept_s)
        done = pruner.prune(is_trial=dry_run)
        workers = 0 if workers_kept_s is None else store.fleet.forget_workers(workers_kept_s, is_trial=dry_run)
    if as_json:
        print_json({**plain(done), "workers": workers})
        return
    found = f"{count(done.uploads, 'upload')}, {count(done.exports, 'export')}, {size(done.size_bytes)}"
    found += f", {count(workers, 'worker')}" if workers else ""
    click.echo(f"{'would remove' if dry_run else 'removed'} {found}")
    if done.needed:
        click.echo(f"kept {count(done.needed, 'old upload')} that jobs or schedules need")
