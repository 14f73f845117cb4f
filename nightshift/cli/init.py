"""`nightshift init`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nightshift.cli.output import json_option, print_json, say
from nightshift.cli.summary import shown_path
from producer.machine import FILE_NAME, PREFIX

_JOB_NAME = "nightly.yaml"
_JOB = """\
# nightshift run --file nightly.yaml              once, here and now
# nightshift schedule apply -f nightly.yaml       by the clock
name: my-photos
schedule: {cron: "30 2 * * *", timezone: UTC}
source: ./photos                  # a folder, a pattern, a manifest, s3://bucket/prefix; {date} is the day
model: digits                     # nightshift models
output: {uri: ./labels, formats: [coco, jsonl, previews]}
# gates: {}                       # hold each night against the good ones before it
# notify: [{webhook: "https://hooks.example/x", on: [finished, failed, gates_failed]}]
"""


@click.command(short_help="Write a settings file and a job file to begin with.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@json_option
def init(folder: Path, as_json: bool) -> None:
    """Write a settings file and a job file to begin with, into a folder or here. Nothing is overwritten."""
    files = {folder / FILE_NAME: _settings(), folder / _JOB_NAME: _JOB}
    if there := [path for path in files if path.exists()]:
        raise click.UsageError(f"{shown_path(there[0].absolute())} is there already; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"written": [path.absolute() for path in files]})
        return
    say("wrote", "  ".join(shown_path(path.absolute()) for path in files))
    say("next", f"nightshift run --file {shown_path((folder / _JOB_NAME).absolute())}")


def _settings() -> str:
    """Every setting as a comment, with its meaning and what it is by default."""
    from nightshift.settings import Settings, known_variables

    words, defaults = known_variables(), Settings.model_construct().model_dump()
    lines = ["# Settings of nightshift; what is not said here is as it is shown. The environment wins over this file."]
    sections: dict[str, list[str]] = {}
    for variable, meaning in words.items():
        section, _, name = variable.removeprefix(PREFIX).lower().rpartition("__")
        default = defaults[section][name] if section else defaults[name]
        shown = f"# {name} = {_toml(default)}" if default is not None else f"# {name} ="
        sections.setdefault(section, []).extend([f"# {meaning}", shown])
    for section, told in sections.items():
        lines += ["", f"[{section}]"] if section else [""]
        lines += told
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    plain = [str(each) for each in value] if isinstance(value, list | tuple) else value
    return json.dumps(str(plain) if isinstance(plain, Path) else plain)
