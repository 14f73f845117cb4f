"""The page of previews: one file, no JavaScript, no address outside its folder, light and dark."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from drawing.colours import class_colour

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture on the page; `file` is relative to it."""

    name: str
    file: str
    hw: tuple[int, int]
    class_names: tuple[str, ...]
    objects: int


@dataclass(frozen=True, slots=True)
class Failure:
    """One item without a picture."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """All that the page shows beside the job."""

    figures: Sequence[Figure]
    failures: Sequence[Failure]
    decisions: Sequence[DecisionRow]


_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --card: #181d24; --ink: #e8ecf1; --soft: #9aa5b1; --line: #2c343d; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1600px; padding: 1.5rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; } h2 { margin: 2rem 0 .75rem; font-size: 1.15rem; }
p { margin: .25rem 0; color: var(--soft); }
ul { list-style: none; margin: 1rem 0; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem; }
li { padding: .1rem .7rem; border: 1px solid var(--line); border-radius: 1rem; background: var(--card);
  font-size: .9rem; }
li i { display: inline-block; width: .75rem; height: .75rem; margin-right: .4rem; border-radius: 50%; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; background: var(--card); }
figure img { display: block; width: 100%; height: auto; aspect-ratio: 4 / 3; object-fit: contain;
  background: var(--page); }
figcaption { padding: .6rem .8rem; overflow-wrap: anywhere; font-size: .9rem; }
figcaption span { display: block; color: var(--soft); }
a:focus-visible { outline: 3px solid #3b82f6; outline-offset: -3px; }
.table { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; background: var(--card); font-size: .9rem; }
th, td { padding: .45rem .8rem; border: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
td:nth-child(2) { font-family: ui-monospace, monospace; white-space: nowrap; }
"""


def write_gallery(path: Path, job: JobStatus, gallery: Gallery) -> None:
    """Write the page; every text of the job is escaped."""
    title = escape(job.name or job.model)
    parts = [
        "<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<meta name='generator' content='nightshift'>\n<title>{title}: previews</title>\n<style>{_STYLE}</style>",
        _head(title, job, gallery),
        "<main>",
        *(_figure(figure) for figure in gallery.figures),
        "</main>",
        _failures(job, gallery.failures),
    ]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _head(title: str, job: JobStatus, gallery: Gallery) -> str:
    backends = sorted({f"{row.backend} {row.quantization} on {row.device}" for row in gallery.decisions})
    labelled = job.ok + job.cached
    counts = f"{labelled:,} of {job.total:,} labelled, {job.objects:,} objects, {job.failed:,} failed"
    model = escape(f"{job.model}{', ' if backends else ''}{'; '.join(backends)}")
    return (
        f"<header><h1>{title}</h1>\n<p>{counts}. {len(gallery.figures):,} shown.</p>\n<p>Model {model}</p>\n"
        f"{_legend(job, gallery.figures)}</header>"
    )


def _legend(job: JobStatus, figures: Sequence[Figure]) -> str:
    """Classes of the shown pictures, most frequent first, each in its colour."""
    ids = {name: number for number, name in reversed(list(enumerate(job.class_names or ())))}
    found = Counter(name for figure in figures for name in figure.class_names)
    chips = (f"<li>{_dot(ids.get(name))}{escape(name)} {count:,}</li>" for name, count in found.most_common(40))
    return f"<ul aria-label='Classes shown'>{''.join(chips)}</ul>" if found else ""


def _dot(class_id: int | None) -> str:
    if class_id is None:
        return ""
    red, green, blue = class_colour(class_id)
    return f"<i style='background:#{red:02x}{green:02x}{blue:02x}'></i>"


def _figure(figure: Figure) -> str:
    height, width = figure.hw
    name, link = escape(figure.name), quote(figure.file)
    counts = Counter(figure.class_names)
    words = ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing found"
    return (
        f"<figure><a href='{link}'><img src='{link}' alt='{name}: {escape(words)}' width='{width}' height='{height}' "
        f"loading='lazy'></a><figcaption>{name}<span>{escape(words)}</span></figcaption></figure>"
    )


def _failures(job: JobStatus, failures: Sequence[Failure]) -> str:
    if not failures:
        return ""
    rows = (f"<tr><td>{escape(f.name)}<td>{escape(f.code)}<td>{escape(f.message)}" for f in failures)
    more = f"<p>The first {len(failures):,} are listed.</p>" if job.failed > len(failures) else ""
    return (
        "<h2>Failed or not shown</h2>\n<div class='table'><table><thead><tr><th>Item<th>Code<th>Why<tbody>"
        f"{''.join(rows)}</table></div>{more}"
    )
