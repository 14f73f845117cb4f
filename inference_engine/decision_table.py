"""A decision as a table: a row for each reason, folded to a width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference_engine.negotiation import Candidate
    from inference_engine.reasons import Reason

#: Columns of a terminal that the text fits in.
WIDTH = 110
#: A package's id is cut to this; providers' ids may have 255 characters.
_LONGEST_NAME = 32
_LEAST_REASON = 36


def columns(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Names of the columns; the device only where there is more than one."""
    device = ("device",) if has_devices(candidates) else ()
    return ("package", "backend", *device, "precision", "verdict", "reason")


def rows(candidates: Sequence[Candidate]) -> Iterator[tuple[str, ...]]:
    """A row for each reason; the candidate is named in its first."""
    shows_device = has_devices(candidates)
    for candidate in candidates:
        device = (candidate.device or "-",) if shows_device else ()
        name = (_short(candidate.package_id), candidate.backend or "-", *device, candidate.quantization)
        named = (*name, candidate.verdict)
        first, *others = [told(reason) for reason in candidate.reasons] or ["comes first of those that run here"]
        yield (*named, first)
        for other in others:
            yield (*("" for _ in named), other)


def has_devices(candidates: Sequence[Candidate]) -> bool:
    """Whether the candidates are for more than one device."""
    return len({candidate.device for candidate in candidates if candidate.device}) > 1


def told(reason: Reason) -> str:
    """A reason in one line."""
    return f"{reason.code}: {reason.message}" + (f" ({reason.hint})" if reason.hint else "")


def text_table(candidates: Sequence[Candidate], width: int = WIDTH) -> str:
    """The whole table; hashes and paths stay whole, to be copied, whatever the width."""
    listed = [columns(candidates), *rows(candidates)]
    widths = [max(len(row[place]) for row in listed) for place in range(len(listed[0]) - 1)]
    left = sum(widths) + 2 * len(widths)
    lines = []
    for row in listed:
        cells = "".join(cell.ljust(size) + "  " for cell, size in zip(row, widths, strict=False))
        folded = wrap(row[-1], max(_LEAST_REASON, width - left), break_long_words=False, break_on_hyphens=False)
        lines += [cells + folded[0], *(" " * left + line for line in folded[1:])]
    return "\n".join(line.rstrip() for line in lines)


def _short(name: str) -> str:
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}...{name[2 - half :]}"
