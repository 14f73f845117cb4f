"""`nightshift cache`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from nightshift.cli.errors import ERROR
from nightshift.cli.output import count, json_option, moment, print_json, print_rows
from nightshift.settings import load_settings

if TYPE_CHECKING:
    from inference_engine.cache.packages import PackageCache

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _bytes(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", value, re.IGNORECASE)
    if found is None:
        raise click.BadParameter(f"{value!r} is no size such as 500M or 20G")
    return int(float(found[1]) * _UNITS[found[2].upper()])


@click.group()
def cache() -> None:
    """List, verify or remove fetched packages; show or remove results of earlier runs."""


@cache.command("ls")
@json_option
def list_(as_json: bool) -> None:
    """List packages that were fetched, the one used last first."""
    from inference_engine.cache.upkeep import entries

    found = entries(_cache())
    if as_json:
        for entry in found:
            print_json(entry)
        return
    columns = ("key", "model", "package", "provider", "size", "last used", "in use")
    print_rows(
        columns,
        [
            (e.key[:12], e.model_id, e.package_id, e.provider, size(e.size), moment(e.last_used), "yes" * e.is_in_use)
            for e in found
        ],
    )


@cache.command()
@click.option("--max-size", callback=_bytes, metavar="SIZE", help="Keep so much, such as 20G; the setting by default.")
@click.option("--all", "everything", is_flag=True, help="Remove all that is not in use, cut fetches included.")
@json_option
def prune(max_size: int | None, everything: bool, as_json: bool) -> None:
    """Remove the least recently used packages until the rest fits; what is in use stays."""
    from inference_engine.cache.upkeep import prune as remove

    most = load_settings().cache_max_bytes if max_size is None else max_size
    removed = remove(_cache(), 0 if everything else most)
    if as_json:
        print_json({"removed": removed})
        return
    click.echo(f"removed {count(len(removed), 'package')}, {size(sum(entry.size for entry in removed))}")


@cache.command()
@json_option
def verify(as_json: bool) -> int:
    """Hash every file; set damaged packages aside, to be fetched again at their next use, and leave with status 1."""
    from inference_engine.cache.upkeep import verify as check

    folder = _cache()
    names = {key: stored for key in folder.stored_keys() if (stored := folder.record(key)) is not None}
    damaged = {key: wrong for key, wrong in check(folder).items() if wrong}
    if as_json:
        print_json({"checked": len(names), "damaged": damaged})
    else:
        for key, wrong in damaged.items():
            stored = names.get(key)
            click.echo(f"{stored.model_id}/{stored.package_id}" if stored else key, nl=False)
            click.echo(f": damaged: {', '.join(wrong)}")
        click.echo(f"{count(len(names), 'package')} hashed, {len(damaged)} damaged")
    return ERROR if damaged else 0


@cache.command()
@click.option("--prune", "is_prune", is_flag=True, help="Remove the least recently used until the rest fits.")
@click.option("--max-size", callback=_bytes, metavar="SIZE", help="Keep so much; the setting by default.")
@json_option
def results(is_prune: bool, max_size: int | None, as_json: bool) -> None:
    """Show how many results are kept for later runs, or remove some of them."""
    from nightshift.stack import open_store

    if max_size is not None and not is_prune:
        raise click.UsageError("--max-size says how much --prune keeps; give both")
    settings = load_settings()
    with open_store(settings) as store:
        most = settings.worker.result_cache_bytes if max_size is None else max_size
        removed = store.known.prune(most) if is_prune else None
        kept = store.known.size()
    if as_json:
        print_json({"kept": kept, "removed": removed})
        return
    if removed is not None:
        click.echo(f"removed {count(removed.results, 'result')}, {size(removed.size_bytes)}")
    click.echo(f"{count(kept.results, 'result')} kept for later runs, {size(kept.size_bytes)}")


def size(number: int) -> str:
    """Give `12.3 MiB`."""
    amount, unit = float(number), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def _cache() -> PackageCache:
    from inference_engine.cache.packages import PackageCache

    return PackageCache(load_settings().package_cache_dir)
