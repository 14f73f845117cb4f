"""Pictures of a report as tasks for Label Studio, with what one or more jobs found on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from producer.exports.dataset import Picture
from producer.exports.formats.label_studio import task_of
from producer.exports.naming import CommonRoot

if TYPE_CHECKING:
    from jobstore.views import ResultRow


def write_tasks(
    path: Path, versions: Sequence[str], found: Sequence[Sequence[ResultRow]], data: Sequence[Mapping[str, Any]]
) -> None:
    """Write a file that Label Studio imports, in the form of `--format label-studio`.

    Args:
        versions: of the models, as people see them: one for each row of a picture.
        found: for each picture its rows, all of the same picture.
        data: for each picture further columns.
    """
    root = CommonRoot()
    for rows in found:
        root.add(rows[0].uri)
    tasks = []
    for index, (rows, columns) in enumerate(zip(found, data, strict=True)):
        name = root.relative(rows[0].uri, rows[0].frame)
        each = [
            task_of(Picture(name, row, row.record or {}), index, version, root.folder)
            for version, row in zip(versions, rows, strict=False)
        ]
        predictions = [prediction for task in each for prediction in task["predictions"]]
        tasks.append({**each[0], "data": {**each[0]["data"], **columns}, "predictions": predictions})
    path.write_bytes(msgspec.json.format(msgspec.json.encode(tasks), indent=1) + b"\n")
