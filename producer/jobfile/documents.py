"""From the text of a job file to its data, with the line of each part. No key may stand twice.

YAML is read as the YAML 1.1 that PyYAML knows, where an unquoted `no` is a boolean and `2:30` the number 150: such
values keep how they were written, so that the model refuses them with words instead of taking what nobody meant.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]


class DocumentInvalid(Exception):
    """The text is not of its format. The message begins with the line, where that is known."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value stands.

    Attributes:
        line: counted from 1.
        written: a YAML scalar without quotes, as it was written; None: anything else.
    """

    line: int
    written: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content."""

    data: Any
    spots: Mapping[Path, Spot]

    def spot(self, path: Path) -> Spot | None:
        """Give where a value stands, or the nearest thing around it."""
        while path and path not in self.spots:
            path = path[:-1]
        return self.spots.get(path)


class Trap:
    """A number that YAML 1.1 reads in base 60 or 8; no field of the model takes it."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, by which a small text becomes a large one."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise DocumentInvalid(f"line {mark.line + 1}: aliases (*name) are not taken; write the value again")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def read_yaml(text: str) -> Document:
    """Read YAML.

    Raises:
        DocumentInvalid.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        spots: dict[Path, Spot] = {}
        return Document(None if node is None else _yaml_value(loader, node, (), spots), spots)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DocumentInvalid(f"{line}{error.problem or error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentInvalid(str(error)) from error
    finally:
        loader.dispose()


def _yaml_value(loader: _Loader, node: yaml.Node, path: Path, spots: dict[Path, Spot]) -> Any:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        spots[path] = Spot(line)
        return _yaml_mapping(loader, node, path, spots)
    if isinstance(node, yaml.SequenceNode):
        spots[path] = Spot(line)
        return [_yaml_value(loader, part, (*path, index), spots) for index, part in enumerate(node.value)]
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
    spots[path] = Spot(line, node.value if is_plain else None)
    is_number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    if is_plain and is_number and re.search(r":|^[-+]?0[0-9_]", node.value):
        return Trap()
    return loader.construct_object(node)


def _yaml_mapping(loader: _Loader, node: yaml.MappingNode, path: Path, spots: dict[Path, Spot]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            raise DocumentInvalid(f"line {line}: a key is expected to be a plain word")
        # As it was written: an unquoted `on` would else be the key True.
        if key.value in found:
            raise DocumentInvalid(f"line {line}: {key.value!r} stands a second time; expected it once")
        found[key.value] = _yaml_value(loader, value, (*path, key.value), spots)
        spots[(*path, key.value)] = Spot(line, spots[(*path, key.value)].written)
    return found


def read_toml(text: str) -> Document:
    """Read TOML.

    Raises:
        DocumentInvalid.
    """
    try:
        return Document(tomllib.loads(text), dict(_toml_lines(text)))
    except tomllib.TOMLDecodeError as error:
        raise DocumentInvalid(str(error)) from error


def _toml_lines(text: str) -> Iterator[tuple[Path, Spot]]:
    """Give the lines of tables and keys; tomllib keeps none. What stands inside a value has its key's line."""
    table: Path = ()
    seen: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)([^\[\]]+)\]", line):
            table = _toml_key(header[2])
            if header[1] == "[[":
                seen[table] = seen.get(table, -1) + 1
                table = (*table, seen[table])
            yield table, Spot(number)
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            yield (*table, *_toml_key(key[1])), Spot(number)


def _toml_key(text: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def read_json(text: str) -> Document:
    """Read JSON.

    Raises:
        DocumentInvalid.
    """
    try:
        return Document(json.loads(text, object_pairs_hook=_once), dict(_json_lines(text)))
    except json.JSONDecodeError as error:
        raise DocumentInvalid(f"line {error.lineno}: {error.msg[:1].lower()}{error.msg[1:]}") from error
    except RecursionError as error:
        raise DocumentInvalid("it is nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DocumentInvalid(f"{twice!r} stands a second time in one object; expected it once")
    return found


def _json_lines(text: str) -> Iterator[tuple[Path, Spot]]:
    """Give the line of each key and element of valid JSON."""
    path: list[str | int] = []
    last, line, end = "", 1, 0
    for token in re.finditer(r'"(?:\\.|[^"\\])*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', text):
        line, end = line + text.count("\n", end, token.start()), token.start()
        mark = token[0]
        if mark in "{[":
            path.append("" if mark == "{" else 0)
        elif mark in "}]":
            path.pop()
        elif mark == "," and isinstance(path[-1], int):
            path[-1] += 1
        elif mark == ":":
            path[-1] = json.loads(last)
        last = mark
        if path and mark not in ",:}]":
            yield tuple(path[:-1] if mark in "{[" else path), Spot(line)


#: Ending of a file's name -> its format.
READERS: Mapping[str, Callable[[str], Document]] = {
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".toml": read_toml,
    ".json": read_json,
}
