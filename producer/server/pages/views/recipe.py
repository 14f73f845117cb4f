"""The command that makes a job like this one again."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jobstore.submit import usual_name

if TYPE_CHECKING:
    from jobstore.views import JobStatus
    from producer.judging.gates import GateLimits

#: Parameter -> option of `nightshift submit`.
_PARAMS = {
    "confidence": "--conf",
    "iou_threshold": "--iou",
    "classes": "--classes",
    "max_detections": "--max-detections",
    "prompt": "--prompt",
}
#: Which frames of videos -> option; the flags stand for true.
_VIDEO = {"fps": "--fps", "every": "--every", "start_s": "--start", "end_s": "--end", "segment_s": "--segment"}
_VIDEO_FLAGS = {"keyframes": "--keyframes", "track": "--track", "fail_partial": "--fail-partial"}
#: Wish -> option.
_WISHES = {
    "backend": "--backend",
    "backend_order": "--backend-order",
    "quantization": "--quantization",
    "package_id": "--package",
    "execution_providers": "--execution-providers",
    "strategy": "--strategy",
    "measuring_budget_s": "--measuring-budget",
    "batch_size": "--batch",
}
#: What `max_failure_rate` is where nobody says.
_USUAL_RATE = 0.02


def command_of(job: JobStatus, uris: Sequence[str], gates: GateLimits | None = None) -> str:
    """Give the line for a shell.

    Args:
        gates: what the job is judged by.
        uris: of the first and the last item: the source is the folder that both lie in, or the one file.
    """
    words = ["nightshift", "submit", *source_of(uris), "-m", job.model]
    is_named = job.name and job.name not in {usual_name(job.model, uri, job.total) for uri in uris[:1]}
    words += ["--name", job.name] if is_named else []
    words += ["--hardware", ",".join(job.hardware)]
    words += _options(_PARAMS, job.params) + _options(_WISHES, job.wishes)
    if (fusion := job.wishes.get("nms_fusion")) is not None:
        words.append("--nms-fusion" if fusion else "--no-nms-fusion")
    video = {name: value for name, value in (job.video or {}).items() if value}
    words += _options(_VIDEO, video) + [option for name, option in _VIDEO_FLAGS.items() if video.get(name)]
    words += ["--priority", str(job.priority)] if job.priority else []
    words += ["--max-failures", str(job.max_failures)] if job.max_failures is not None else []
    words += ["--max-failure-rate", f"{job.max_failure_rate:g}"] if job.max_failure_rate != _USUAL_RATE else []
    words += [] if gates is None else gate_options(gates)
    words += [word for key, value in job.tags.items() for word in ("--tag", f"{key}={value}")]
    return shlex.join(words)


def gate_options(limits: GateLimits) -> list[str]:
    """Give the options that ask for gates: those limits that are not the usual ones, or all of the usual ones."""
    named = [f"{name}={json.dumps(value)}" for name, value in limits.unusual().items()]
    return [word for limit in named for word in ("--gate", limit)] or ["--gates"]


def source_of(uris: Sequence[str]) -> list[str]:
    """Give the folder that all of these lie in, or the one there is; none: a word that asks for it."""
    different = list(dict.fromkeys(uris))
    if len(different) == 1:
        return different
    schemes = {uri.partition("://")[0] if "://" in uri else "" for uri in different}
    if not different or len(schemes) > 1:
        return ["SOURCE"]
    scheme = schemes.pop()
    prefix = f"{scheme}://" if scheme else ""
    folders = [posixpath.dirname(uri.removeprefix(prefix)) for uri in different]
    if any(folder.startswith("/") for folder in folders) != all(folder.startswith("/") for folder in folders):
        return ["SOURCE"]
    common = posixpath.commonpath(folders)
    return [prefix + common] if common.strip("/") else ["SOURCE"]


def _options(names: Mapping[str, str], given: Mapping[str, Any]) -> list[str]:
    words = []
    for name, option in names.items():
        value = given.get(name)
        if value is not None:
            listed = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words += [option, listed]
    return words
