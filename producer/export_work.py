"""Exports that were asked for are made: any number of exporters, each export by one of them at a time.

An export appears whole or not at all, so one that is made twice, by an exporter that was thought dead, is the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobstore.aftercare import SHELF
from jobstore.errors import JobStoreError
from jobstore.schema import JobId
from producer.claims import kept
from producer.errors import ProducerError
from producer.exporting import export_job, fitting_formats
from producer.exports import ExportOptions, ExportSummary
from producer.exports.archive import write_archive
from producer.exports.bucket import is_bucket
from producer.shelf import Shelf

if TYPE_CHECKING:
    from jobstore.aftercare import Output
    from jobstore.export_requests import ExportRequest
    from jobstore.store import JobStore
    from producer.direct import Direct

logger = logging.getLogger(__name__)

#: What is written where nobody names formats: those of them that fit.
USUAL_FORMATS = ("coco", "jsonl")
_FIRST_RETRY_S = 30.0
#: As `producer.exporting.export_job`.
Writer = Callable[["Direct", JobId, Sequence[str], Path | str, ExportOptions], list[ExportSummary]]


@dataclass(frozen=True, slots=True)
class ExportMaker:
    """Makes what is asked for.

    Attributes:
        write: writes one job's exports.
        lease_s: seconds after which others take over from an exporter that is not heard of.
        shelf_folder: where a server of this machine keeps exports for download, or would; None: nowhere.
    """

    store: JobStore
    gateway: Direct
    owner: str
    write: Writer = export_job
    lease_s: float = 60.0
    shelf_folder: Path | None = None

    def make_due(self) -> int:
        """Make every export that nobody makes; give the number of those that were written.

        Raises:
            StoreUnavailable: what was claimed is made by whoever comes first.
        """
        made = 0
        # Looked for each time: a server may begin to use the folder after we did.
        shelf = None if self.shelf_folder is None else Shelf.find(self.shelf_folder)
        place = None if shelf is None else shelf.dest
        while (request := self.store.exports.claim(self.owner, self.lease_s, place)) is not None:
            made += self._make(request, shelf)
        return made

    def _make(self, request: ExportRequest, shelf: Shelf | None) -> bool:
        retry_s: float | None = _FIRST_RETRY_S * 2 ** (request.tries - 1)
        try:
            with kept(lambda: self.store.exports.renew(request, self.lease_s), self.lease_s):
                written = self._write(request, shelf)
        except (ProducerError, JobStoreError) as error:
            retry_s, problem = retry_s if error.retryable else None, str(error)
        except (ValueError, TypeError) as error:  # options that no exporter takes
            retry_s, problem = None, str(error)
        except Exception as error:
            logger.exception("export %s failed", request.export_id, extra={"event": "export_broke"})
            problem = f"{type(error).__name__}: {error}"
        else:
            return self.store.exports.done(request, tuple(record_of(summary) for summary in written))
        what = {"event": "export_failed", "job_id": request.job_id, "export": request.export_id}
        logger.warning("export of job %s: %s", request.job_id, problem, extra=what)
        self.store.exports.failed(request, problem, retry_s)
        return False

    def _write(self, request: ExportRequest, shelf: Shelf | None) -> list[ExportSummary]:
        output = request.output
        if shelf is None or not output.dest.startswith(SHELF):
            return write_output(self.gateway, request.job_id, output, self.write)
        folder = shelf.place(request.tenant, request.export_id)
        written = write_output(self.gateway, request.job_id, replace(output, dest=str(folder)), self.write)
        write_archive(folder, shelf.archive(request.tenant, request.export_id))
        return written


def write_output(gateway: Direct, job_id: JobId, output: Output, write: Writer = export_job) -> list[ExportSummary]:
    """Write what a job's `output` asks for: its formats, or the usual ones that fit; a number of previews adds them.

    Raises:
        FormatUnknown, FormatUnsuitable, ExportOptionInvalid, ValueError: before anything is written.
        ExportFailed.
    """
    formats = output.formats or fitting_formats(gateway, job_id, USUAL_FORMATS)
    more = ("previews",) if "previews" in output.options and "previews" not in formats else ()
    lists = {name: tuple(value) for name, value in output.options.items() if isinstance(value, list)}
    dest = output.dest if is_bucket(output.dest) else Path(output.dest)
    return write(gateway, job_id, (*formats, *more), dest, ExportOptions(**{**output.options, **lists}))


def record_of(summary: ExportSummary) -> Mapping[str, Any]:
    """Give a summary as JSON can hold it."""
    paths = {"path": str(summary.path), "files": [str(path) for path in summary.files]}
    return {**asdict(summary), **paths}
