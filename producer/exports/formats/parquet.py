"""A table for programs: `results.parquet`, a row an outcome, its objects as a list; needs the extra `parquet`.

Failed and skipped outcomes are rows too. The record is there whole as JSON, embeddings as lists of float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from producer.errors import MissingExtra
from producer.exports.atomic import atomic_file
from producer.exports.records import EVERY_KIND, Kind, instances, kinds_of
from producer.exports.summary import ExportSummary

if TYPE_CHECKING:
    from pathlib import Path

    from jobstore.views import ResultRow
    from producer.exports.dataset import Dataset

TAKES = EVERY_KIND
#: A group is in memory as Python objects while it is made: some 10 MB at ten objects a row.
GROUP_ROWS = 1024


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/results.parquet`, compressed with zstd, a row group for every 1,024 rows.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    pa, pq = _import_pyarrow()
    path, items, objects = dest / "results.parquet", 0, 0
    schema = _schema(pa)
    with atomic_file(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        rows: Iterator[dict[str, Any]] = (_row(dataset, row) for row in dataset.rows())
        while group := list(islice(rows, GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            items += len(group)
            objects += sum(len(row["objects"]) for row in group)
    return ExportSummary("parquet", path, items, objects, (path,))


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra('parquet needs pyarrow: pip install "nightshift[parquet]"') from error
    return pa, pq


def _schema(pa: Any) -> Any:
    real, whole, text = pa.float32(), pa.int64(), pa.string()
    found = pa.struct(
        [
            ("class_id", whole), ("class_name", text), ("confidence", real),
            ("x_min", real), ("y_min", real), ("x_max", real), ("y_max", real),
            ("xywhr", pa.list_(real)), ("key_points", pa.list_(pa.list_(real))), ("mask_counts", text),
            ("text", text), ("track_id", whole),
        ]
    )  # fmt: skip
    return pa.schema(
        [
            ("idx", whole), ("frame", whole), ("timestamp_s", pa.float64()), ("name", text), ("uri", text),
            ("state", text), ("error_code", text), ("error_message", text), ("backend", text), ("package", text),
            ("width", whole), ("height", whole), ("objects", pa.list_(found)), ("text", text),
            ("embedding", pa.list_(real)), ("record", text), ("blob", pa.binary()), ("metadata", text),
        ]
    )  # fmt: skip


def _row(dataset: Dataset, row: ResultRow) -> dict[str, Any]:
    decision = dataset.decisions.get(row.decision_id or "")
    height, width = (row.record or {}).get("image_hw") or (None, None)
    cells = {
        "idx": row.idx,
        "frame": row.frame,
        "timestamp_s": row.timestamp_s,
        "name": dataset.survey.root.relative(row.uri, row.frame),
        "uri": row.uri,
        "state": row.state.value,
        "error_code": row.error.code if row.error else None,
        "error_message": row.error.message if row.error else None,
        "backend": decision.backend if decision else None,
        "package": decision.package_id if decision else None,
        "width": width,
        "height": height,
        "record": None if row.record is None else msgspec.json.encode(row.record).decode(),
        "metadata": None if row.metadata is None else msgspec.json.encode(row.metadata).decode(),
    }
    return cells | _contents(row)


def _contents(row: ResultRow) -> dict[str, Any]:
    record = row.record or {}
    kinds = kinds_of(record)
    objects = list(map(_object, instances(record))) if kinds & {Kind.BOXES, Kind.MASKS} else []
    if Kind.CLASSES in kinds:
        names = ("class_id", "class_name", "confidence")
        objects = [dict(zip(names, each, strict=True)) for each in zip(*(record[name] for name in names), strict=True)]
    cells: dict[str, Any] = {"objects": objects, "text": record.get("text")}
    if Kind.EMBEDDING in kinds and row.blob is not None:
        vector = np.frombuffer(row.blob, np.dtype(record["dtype"]).newbyteorder("<"))
        return {**cells, "embedding": vector.astype(np.float32)}
    return {**cells, "blob": row.blob}


def _object(instance: Any) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = instance.xyxy
    return {
        "class_id": instance.class_id,
        "class_name": instance.class_name,
        "confidence": instance.confidence,
        "x_min": x_min,
        "y_min": y_min,
        "x_max": x_max,
        "y_max": y_max,
        "xywhr": instance.xywhr,
        "key_points": instance.key_points,
        "mask_counts": None if instance.mask is None else instance.mask["counts"],
        "text": instance.text,
        "track_id": instance.track_id,
    }
