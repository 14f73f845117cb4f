"""Pages of figures and pictures: one file each, no JavaScript, no address outside their folder, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --card: #181d24; --ink: #e8ecf1; --soft: #9aa5b1; --line: #2c343d; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1400px; padding: 1.5rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; overflow-wrap: anywhere; } h2 { margin: 2rem 0 .75rem; font-size: 1.15rem; }
p { margin: .25rem 0; color: var(--soft); overflow-wrap: anywhere; }
.table { overflow-x: auto; }
table { border-collapse: collapse; background: var(--card); font-size: .9rem; }
th, td { padding: .4rem .8rem; border: 1px solid var(--line); text-align: left; overflow-wrap: anywhere; }
th { white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; border: 1px solid var(--line); border-radius: .6rem; overflow: hidden;
  background: var(--card); }
figure img, figure svg { display: block; width: 100%; height: auto; }
figcaption { padding: .6rem .8rem; overflow-wrap: anywhere; font-size: .9rem; }
figcaption span { display: block; color: var(--soft); }
a:focus-visible { outline: 3px solid #3b82f6; outline-offset: -3px; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The page; `parts` are HTML whose texts are escaped already."""
    head = (
        "<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<meta name='generator' content='nightshift'>\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
    )
    return f"{head}<h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n"


def paragraph(text: str) -> str:
    """A line of words."""
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """A section's name."""
    return f"<h2>{escape(text)}</h2>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; numbers stand at the right, floats with three decimals, None as a dash."""
    head = "".join(f"<th>{escape(name)}" for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}" for row in rows)
    return f"<div class='table'><table><thead><tr>{head}<tbody>{body}</table></div>"


def figure(file: str | None, hw: tuple[int, int], name: str, *words: str) -> str:
    """A picture with its name and words below; without a file, the words alone."""
    caption = f"<figcaption>{escape(name)}{''.join(f'<span>{escape(each)}</span>' for each in words)}</figcaption>"
    if file is None:
        return f"<figure>{caption}</figure>"
    alt = escape(f"{name}: {', '.join(words)}")
    link, (height, width) = quote(file), hw
    picture = f"<img src='{link}' alt='{alt}' width='{width}' height='{height}' loading='lazy'>"
    return f"<figure><a href='{link}'>{picture}</a>{caption}</figure>"


def shown(value: object) -> str:
    """A figure for people."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cell(value: object) -> str:
    is_number = value is None or isinstance(value, int | float)
    return f"<td{' class=number' * is_number}>{escape(shown(value))}"
