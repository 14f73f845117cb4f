"""Writes the tables of the docs from the code: codes of errors and reasons, settings, the order of backends.

A test runs it with `--check`, so a table that is behind the code fails CI.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference_engine.reasons import Explained

ROOT = Path(__file__).resolve().parents[1]
_BEGIN, _END = "<!-- generated: {} -->", "<!-- end -->"

#: Codes that are written by the store and the worker themselves.
OUTCOME_CODES = {
    "internal_error": "something raised that is not one of our errors; its class and words follow. Please report it",
    "worker_lost": "every process that worked on this item ended without a word; it was tried alone, and given up",
    "item_timeout": "reading, preparing or running this item took longer than its limit; its process was replaced",
    "job_cancelled": "the job was cancelled before this item's turn (the item is skipped, not failed)",
    "job_failed": "the job could not go on, so this item was not tried (the item is skipped, not failed)",
    "job_expired": "the job's time was over before this item's turn (the item is skipped, not failed)",
    "books_do_not_balance": "an ended job's counters differ from its items. Please report it",
}


#: Reasons of jobs that stopped, whether or not they can go on; kept beside the jobs' states.
STOP_CODES = {
    "paused": "somebody paused the job; `nightshift resume` goes on",
    "too_many_failures": "more items failed than `max_failures` allows; resume or cancel",
    "failure_rate_exceeded": "so many items failed that the job cannot end within `max_failure_rate`; resume or cancel",
    "canary_failed": "more of the first items failed than chance explains within `max_failure_rate`; resume or cancel",
    "opening_lost": "worker processes were lost, or did not get on, while they opened the job's model",
    "cancelled": "somebody ended the job",
    "expired": "the job's `expires` passed; what had no outcome was skipped",
}

_ERRORS_HEAD = """# Error codes

Codes are stable: they are stored in SQL, printed by the command line and may be matched by programs. This page is made
from the code (`python3 dev.py docs`).
"""

_REASONS_HEAD = """# Reasons

Every candidate (a package on a backend, on a device, in a precision) that was not chosen has at least one of these
codes, with words and often a hint: see `nightshift explain MODEL`. Codes are stable. This folder is made from the code
(`python3 dev.py docs`).
"""


def errors_page() -> str:
    """`docs/errors.md`: every code that can stand in an outcome, a job or a decision."""
    from inference_engine import errors as engine
    from inference_engine.negotiation import REASON_CODES
    from jobstore import errors as jobstore
    from jobstore import queues
    from producer import errors as producer
    from producer.server import errors as server
    from videos.errors import VIDEO_REASONS
    from workers import exporter
    from workers.gate import REFUSALS
    from workers.media import MEDIA_CODES

    parts = [
        _ERRORS_HEAD,
        _table("Why one item failed: reading it", MEDIA_CODES),
        _table("Why one item failed: decoding it", engine.IMAGE_REASONS),
        _table("Why one video failed", VIDEO_REASONS),
        _table("Why one item or a whole job failed: the model", dict(_classes(engine))),
        _table("Outcomes that the store and the worker write", OUTCOME_CODES),
        _table("Why a job stopped", STOP_CODES),
        _table("Why a candidate was not chosen", REASON_CODES)
        + "\nEach has a page of its own: [reasons](reasons/README.md).\n",
        _table("The job store", dict(_classes(jobstore))),
        _table("A worker machine", dict(_classes(exporter))),
        _table("Why a message was set aside (`nightshift queues --quarantined`)", REFUSALS | dict(_classes(queues))),
        _table("Submitting and exporting", dict(_classes(producer))),
        _table("The HTTP server", dict(_classes(server))),
    ]
    return "\n".join(parts)


def reason_pages() -> dict[Path, str]:
    """`docs/reasons/`: a page for each reason code, by its path, and the list of them."""
    from inference_engine.reasons import REASONS

    folder = ROOT / "docs/reasons"
    made = {folder / f"{code}.md": _reason_page(code, words) for code, words in REASONS.items()}
    rows = [f"| [`{code}`]({code}.md) | {words.meaning} |" for code, words in REASONS.items()]
    made[folder / "README.md"] = "\n".join((_REASONS_HEAD, "| code | meaning |", "| --- | --- |", *rows, ""))
    return made


def _reason_page(code: str, words: Explained) -> str:
    return (
        f"# {code}\n\n{words.meaning[0].upper()}{words.meaning[1:]}.\n\nFor example:\n\n"
        f"```text\n{code}: {words.example}\n```\n\n## What to do\n\n{words.remedy}\n\n[All reasons](README.md)\n"
    )


def settings_page() -> str:
    """`docs/settings.md`: every variable with its unit and default."""
    from nightshift.settings import known_variables

    return (
        "# Settings\n\nRead once at the start, from the environment and from `nightshift.toml` (working directory, "
        "then the user's configuration folder); the environment wins. An unknown variable of our prefix is an error."
        "\n\n" + _rows(known_variables(), "variable")
    )


_METRICS_HEAD = """# Metrics

What `nightshift worker start` serves for Prometheus on `NIGHTSHIFT_WORKER__METRICS_HOST` and `_PORT` (127.0.0.1:9464 by
default), beside `/healthz`, `/readyz` and `/v1/autoscale/CLASS`. A dashboard and alert rules stand in `deploy/`. This
page is made from the code (`python3 dev.py docs`).

No label names a job, a shard or an item: ask SQL (`nightshift status`, `results`) for those.
"""


def metrics_page() -> str:
    """`docs/metrics.md`: every metric with its kind, labels and meaning."""
    from workers import metrics

    sections = {
        "Counted by worker processes, added up by their machine's launcher": metrics.PROCESS_METRICS,
        "Of the machine, looked up at each scrape": metrics.MACHINE_METRICS,
        "Of the fleet, from SQL: the same on every machine, so take `max by (...)`": metrics.STORE_METRICS,
    }
    parts = [_METRICS_HEAD]
    for title, listed in sections.items():
        rows = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
        rows += [f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.help} |" for m in listed]
        parts.append("\n".join([f"## {title}\n", *rows, ""]))
    return "\n".join(parts)


def backends_table() -> str:
    """The README's table: what opens what, in order."""
    from inference_engine.backends import backend, known_backends
    from inference_engine.machine import probe_machine
    from inference_engine.negotiation import BACKEND_ORDER

    machine = probe_machine()
    rows = ["| order | backend | opens packages of kind |", "| --- | --- | --- |"]
    for place, name in enumerate((name for name in BACKEND_ORDER if name in known_backends()), 1):
        rows.append(f"| {place} | `{name}` | {', '.join(sorted(backend(name).probe(machine).opens))} |")
    return "\n".join(rows)


def package_keys_table() -> str:
    """The packages page's table: keys of `model_config.json`, ours and the peer library's."""
    from inference_engine.package_keys import KNOWN_KEYS, PEERS_KEYS

    return _rows({**KNOWN_KEYS, **{key: f"(peer library) {said}" for key, said in PEERS_KEYS.items()}}, "key").rstrip()


def formats_table() -> str:
    """The exports page's table: what each format takes, and what it writes."""
    from producer.exports.records import EVERY_KIND
    from producer.exports.registry import every_format

    rows = ["| format | takes | writes |", "| --- | --- | --- |"]
    for each in every_format():
        takes = "everything" if each.takes == EVERY_KIND else ", ".join(sorted(each.takes))
        rows.append(f"| `{each.name}` | {takes} | {each.about} |")
    return "\n".join(rows)


_FAMILIES_HEAD = """# Families

What decodes which task, and how far the test suite proves it on each backend. This page is made from what marked tests
reached (`python3 dev.py docs --families`); a backend that no test reached shows `-`, which does not say that it fails.

- *loads*: a package opens, and a picture gives a prediction of the task's type;
- *agrees with reference*: predictions equal those that independent code computes from the same pixels;
- *accuracy on data*: labelled data give the accuracy that was asked for.
"""


def families_page() -> str:
    """`docs/families.md`: family x task x backend."""
    from nightshift.reached import MEANINGS, backends_shown, family_rows, read_reached

    names = backends_shown()
    lines = [f"| family | task | {' | '.join(names)} |", f"| --- | --- |{' --- |' * len(names)}"]
    for row in family_rows(read_reached()):
        told = (MEANINGS[row.levels[name]] if name in row.levels else "-" for name in names)
        lines.append(f"| `{row.family}` | `{row.task}` | {' | '.join(told)} |")
    return "\n".join((_FAMILIES_HEAD, *lines, ""))


def _classes(module: object) -> Iterator[tuple[str, str]]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if "code" in vars(found) and issubclass(found, Exception):
            yield str(vars(found)["code"]), (inspect.getdoc(found) or "").splitlines()[0]


def _table(title: str, codes: Mapping[str, str]) -> str:
    return f"## {title}\n\n{_rows(codes, 'code')}"


def _rows(entries: Mapping[str, str], name: str) -> str:
    lines = [f"| {name} | meaning |", "| --- | --- |"]
    lines += [f"| `{key}` | {' '.join(meaning.split())} |" for key, meaning in entries.items()]
    return "\n".join(lines) + "\n"


def _with_section(text: str, name: str, content: str) -> str:
    """Replace what stands between a section's markers."""
    begin = _BEGIN.format(name)
    head, found, rest = text.partition(begin)
    if not found:
        raise ValueError(f"a page has no {begin}")
    return f"{head}{begin}\n{content}\n{_END}{rest.partition(_END)[2]}"


def pages() -> dict[Path, str]:
    """Every generated file with what it should hold."""
    readme, packages, exports = (ROOT / name for name in ("README.md", "docs/packages.md", "docs/exports.md"))
    return {
        ROOT / "docs/errors.md": errors_page(),
        **reason_pages(),
        ROOT / "docs/settings.md": settings_page(),
        ROOT / "docs/metrics.md": metrics_page(),
        ROOT / "docs/families.md": families_page(),
        readme: _with_section(readme.read_text(encoding="utf-8"), "backends", backends_table()),
        exports: _with_section(exports.read_text(encoding="utf-8"), "formats", formats_table()),
        packages: _with_section(packages.read_text(encoding="utf-8"), "package keys", package_keys_table()),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` only say which are behind."""
    behind = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in behind:
            sys.stderr.write(f"{path.relative_to(ROOT)} is behind the code: python3 dev.py docs\n")
        return 1 if behind else 0
    for path in behind:
        path.parent.mkdir(exist_ok=True)
        path.write_text(pages()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
