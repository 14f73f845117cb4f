"""The language of `results(where=...)`: parsed here into tests, never given to Python.

    expression  := term {"or" term}          term := factor {"and" factor}
    factor      := "not" factor | "(" expression ")" | comparison
    comparison  := field sign value | field ["not"] "in" "(" value {"," value} ")"
    sign        := "<" | "<=" | ">" | ">=" | "=" | "==" | "!=" | "like"
    value       := number | 'text' | "text" | true | false | none

A comparison with what is not there is false, but for `= none` and `!= none`. `like` takes `*` and `?`.
"""

from __future__ import annotations

import difflib
import fnmatch
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from producer.errors import FilterInvalid

if TYPE_CHECKING:
    from producer.result import Result

#: Characters and brackets of an expression at most; people write short ones, and the parser calls itself.
MAX_CHARS, MAX_DEPTH = 2_000, 30
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<text>'[^']*'|"[^"]*")
    |(?P<word>[A-Za-z_]\w*(?:\.[\w-]+)?)
    |(?P<sign><=|>=|==|!=|[<>=(),]))""",
    re.VERBOSE,
)
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_CONSTANTS = {"true": True, "false": False, "none": None}
_METADATA = "metadata."
#: What a test is told: the result, and the index of one of its objects, -1 for none.
Test = Callable[["Result", int], bool]
Read = Callable[["Result", int], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """What a name stands for.

    Attributes:
        kind: of its values.
        of_object: an object's, and not the item's.
    """

    kind: type
    of_object: bool
    about: str
    read: Read


def _column(key: str) -> Read:
    def read(result: Result, index: int) -> Any:
        values = (result.record or {}).get(key)
        return values[index] if values else None

    return read


def _corner(column: int) -> Read:
    return lambda result, index: float(result.detections.xyxy[index, column])


def _side(first: int, second: int) -> Read:
    return lambda result, index: _corner(second)(result, index) - _corner(first)(result, index)


FIELDS: Mapping[str, Field] = {
    "score": Field(float, True, "confidence of an object or class, 0 to 1", _column("confidence")),
    "label": Field(str, True, "its class", _column("class_name")),
    "class_id": Field(float, True, "number of its class", _column("class_id")),
    "x_min": Field(float, True, "left edge, pixels", _corner(0)),
    "y_min": Field(float, True, "upper edge", _corner(1)),
    "x_max": Field(float, True, "right edge", _corner(2)),
    "y_max": Field(float, True, "lower edge", _corner(3)),
    "width": Field(float, True, "of the box, pixels", _side(0, 2)),
    "height": Field(float, True, "of the box, pixels", _side(1, 3)),
    "source": Field(str, False, "path or URI of the item", lambda result, _: result.source),
    "state": Field(str, False, "ok, cached, failed or skipped", lambda result, _: str(result.state)),
    "cause": Field(str, False, "code of the error", lambda result, _: result.error and result.error.code),
    "backend": Field(str, False, "what ran the model", lambda result, _: result.backend),
    "objects": Field(float, False, "number of objects or classes in the record", lambda result, _: objects_of(result)),
    "frame": Field(float, False, "of a video, from 1 on", lambda result, _: result.frame),
    "timestamp": Field(float, False, "seconds from the video's start", lambda result, _: result.row.timestamp_s),
}


@dataclass(frozen=True, slots=True)
class Where:
    """A parsed expression."""

    text: str
    test: Test
    asks_objects: bool

    def find(self, result: Result) -> tuple[int, ...] | None:
        """Give the objects that it is true of; none of them: the result is not meant, which is None.

        An expression without fields of objects is true of an item as a whole, and so of every object.
        """
        number = objects_of(result)
        if not self.asks_objects:
            return tuple(range(number)) if self.test(result, -1) else None
        return tuple(index for index in range(number) if self.test(result, index)) or None


def objects_of(result: Result) -> int:
    """Objects, or classes of the whole picture, in a result's record."""
    record = result.record or {}
    return max((len(record.get(key) or ()) for key in ("xyxy", "masks", "class_id")), default=0)


def parse_where(text: str) -> Where:
    """Read an expression such as `score > .5 and label == 'person'`.

    Raises:
        FilterInvalid: saying where and what was expected.
    """
    if len(text) > MAX_CHARS:
        raise FilterInvalid(f"the expression has {len(text)} characters; expected {MAX_CHARS} at most")
    parser = _Parser(text)
    test = parser.expression(0)
    parser.expect_end()
    return Where(text, test, parser.asks_objects)


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._kind, self._word, self._start = "", "", 0
        self.asks_objects = False
        self._next()

    def expression(self, depth: int) -> Test:
        """Read tests that are joined by `or`."""
        tests = [self._term(depth)]
        while self._takes("or"):
            tests.append(self._term(depth))
        return tests[0] if len(tests) == 1 else lambda result, index: any(test(result, index) for test in tests)

    def expect_end(self) -> None:
        """Refuse what follows the expression."""
        if self._kind:
            self._refuse("`and`, `or` or the end")

    def _term(self, depth: int) -> Test:
        tests = [self._factor(depth)]
        while self._takes("and"):
            tests.append(self._factor(depth))
        return tests[0] if len(tests) == 1 else lambda result, index: all(test(result, index) for test in tests)

    def _factor(self, depth: int) -> Test:
        if depth > MAX_DEPTH:
            raise FilterInvalid(f"more than {MAX_DEPTH} brackets or `not` inside each other in {self._text[:60]!r}")
        if self._takes("not"):
            test = self._factor(depth + 1)
            return lambda result, index: not test(result, index)
        if self._takes("("):
            inner = self.expression(depth + 1)
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Test:
        name, field = self._field()
        read = field.read
        if self._takes("like"):
            pattern = self._value(field, name)
            if not isinstance(pattern, str):
                self._refuse("a text after `like`")
            return lambda result, index: fnmatch.fnmatchcase(str(read(result, index) or ""), pattern)
        is_negated = self._takes("not")
        if is_negated or self._word.lower() == "in":
            return self._membership(field, name, is_negated=is_negated)
        sign = _SIGNS.get(self._word)
        if sign is None or self._kind != "sign":
            self._refuse(f"one of {' '.join(_SIGNS)} like in, after {name}")
        self._next()
        value = self._value(field, name)
        if value is None:
            if sign not in (operator.eq, operator.ne):
                self._refuse("`=` or `!=` before none")
            return lambda result, index: sign(read(result, index), None)
        return lambda result, index: _compare(sign, read(result, index), value)

    def _membership(self, field: Field, name: str, *, is_negated: bool) -> Test:
        self._expect("in")
        self._expect("(")
        values = [self._value(field, name)]
        while self._takes(","):
            values.append(self._value(field, name))
        self._expect(")")
        read = field.read

        def test(result: Result, index: int) -> bool:
            found = read(result, index)
            return found is not None and any(_compare(operator.eq, found, value) for value in values) is not is_negated

        return test

    def _field(self) -> tuple[str, Field]:
        name = self._word
        if self._kind != "word":
            self._refuse("the name of a field")
        if name.startswith(_METADATA):
            key = name.removeprefix(_METADATA)
            field = Field(object, False, "", lambda result, _: result.metadata.get(key))
        elif name in FIELDS:
            field = FIELDS[name]
        else:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            self._refuse(f"a field: {f'{near[0]}? all of them: ' if near else ''}{', '.join(FIELDS)}, metadata.NAME")
        self.asks_objects |= field.of_object
        self._next()
        return name, field

    def _value(self, field: Field, name: str) -> Any:
        value: Any
        if self._kind == "number":
            value = float(self._word)
        elif self._kind == "text":
            value = self._word[1:-1]
        elif self._word.lower() in _CONSTANTS:
            value = _CONSTANTS[self._word.lower()]
        else:
            self._refuse("a number, a text in quotes, true, false or none")
        if value is not None and type(value) is not field.kind and field.kind is not object:
            self._refuse(f"{'a text in quotes' if field.kind is str else 'a number'}, as {name} is one")
        self._next()
        return value

    def _takes(self, word: str) -> bool:
        if self._kind in ("word", "sign") and self._word.lower() == word:
            self._next()
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            self._refuse(f"`{word}`")

    def _next(self) -> None:
        rest = self._text[self._at :]
        if not rest.strip():
            self._kind, self._word, self._start = "", "", len(self._text)
            return
        found = _TOKEN.match(rest)
        self._start = self._at + len(rest) - len(rest.lstrip())
        if found is None or found.lastgroup is None:
            self._word = rest.split()[0]
            self._refuse("a field, a value or a sign")
        self._kind, self._word = found.lastgroup, found[found.lastgroup]
        self._at += found.end()

    def _refuse(self, expected: str) -> NoReturn:
        found = f"found {self._word!r}" if self._word else "it ends"
        raise FilterInvalid(f"{self._text!r}, at character {self._start + 1}: {found}; expected {expected}")


def _compare(sign: Callable[[Any, Any], bool], found: Any, value: Any) -> bool:
    """Numbers that a manifest wrote as text are compared as numbers; what cannot be compared is not true."""
    if isinstance(value, float) and isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            return sign is operator.ne
    if found is None:
        return False
    try:
        return bool(sign(found, value))
    except TypeError:
        return False
