"""What `run` and `submit` are asked for: the options they share, checked and turned into a `JobSpec`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from nightshift.cli.times import moment_to_come
from nightshift.explaining import decide_here
from producer.request import model_reference

if TYPE_CHECKING:
    from nightshift.settings import Settings
    from producer.job_request import JobRequest
    from videos.options import VideoOptions

F = TypeVar("F", bound=Callable[..., Any])

#: Option's parameter name -> what the model's task calls it.
PARAMS = {
    "conf": "confidence",
    "iou": "iou_threshold",
    "classes": "classes",
    "max_detections": "max_detections",
    "prompt": "prompt",
}
#: Option's parameter name -> what negotiation calls it.
WISHES = {
    "backend": "backend",
    "quantization": "quantization",
    "strategy": "strategy",
    "measuring_budget_s": "measuring_budget_s",
    "batch": "batch_size",
    "package_id": "package_id",
    "backend_order": "backend_order",
    "execution_providers": "execution_providers",
    "nms_fusion": "nms_fusion",
}


def words(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Give the parts of an option that names several things."""
    return _split(value or "")


def _split(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _batch(_: click.Context, __: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdigit() or not int(value):
        raise click.BadParameter(f"{value!r} is neither `auto` nor a number of images")
    return int(value)


def _tags(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if wrong := [key for key, equals, _ in pairs if not equals or not key]:
        raise click.BadParameter(f"{wrong[0]!r} is not of the form KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _gate_limits(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Any] | None:
    """Give the limits of gates that differ from the usual ones; None: none was said."""
    import msgspec

    from producer.wire import GatesBody

    if not values:
        return None
    pairs = [value.partition("=") for value in values]
    try:
        return msgspec.convert({name: msgspec.json.decode(limit) for name, _, limit in pairs}, GatesBody).limits()
    except (msgspec.MsgspecError, ValueError) as error:
        known = ", ".join(GatesBody.__struct_fields__)
        raise click.BadParameter(f"{error}; expected NAME=LIMIT or NAME=null, with one of {known}") from error


_OPTIONS = (
    click.argument("sources", nargs=-1, metavar="SOURCE..."),
    click.option("-m", "--model", help="Model id, package folder (with a leading ./) or .onnx file."),
    click.option("--conf", type=click.FloatRange(0, 1), help="Lowest score that is kept."),
    click.option("--iou", type=click.FloatRange(0, 1), help="Overlap above which the weaker of two boxes goes."),
    click.option("--classes", callback=words, metavar="A,B", help="Keep these classes only."),
    click.option("--max-detections", type=click.IntRange(min=1), help="Objects a picture at most."),
    click.option("--prompt", metavar="TEXT", help="What a model that writes is asked, of each picture."),
    click.option(
        "--backend",
        callback=words,
        metavar="A,B",
        help="Take one of these backends, best first: trt, torch, hf, openvino, onnx.",
    ),
    click.option(
        "--backend-order", callback=words, metavar="A,B", help="Prefer backends in this order, and exclude none."
    ),
    click.option(
        "--quantization",
        callback=words,
        metavar="A,B",
        help="Take one of these precisions, best first: fp32, fp16, bf16, int8.",
    ),
    click.option("--package", "package_id", help="Take this package of the model: see `nightshift explain`."),
    click.option(
        "--execution-providers", callback=words, metavar="A,B", help="ONNX Runtime's names, best first, for onnx."
    ),
    click.option(
        "--nms-fusion/--no-nms-fusion", default=None, help="Take only models that suppress boxes themselves, or none."
    ),
    click.option(
        "--strategy",
        type=click.Choice(["order", "measured"]),
        help="Take the first backend that runs, or the fastest that agrees (measured on the job's first pictures).",
    ),
    click.option(
        "--measuring-budget",
        "measuring_budget_s",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Seconds that `--strategy measured` may take [default: 30].",
    ),
    click.option("--batch", default="auto", callback=_batch, metavar="auto|N", help="Pictures a run of the model."),
    click.option(
        "--hardware",
        default="auto",
        show_default=True,
        metavar="A,B",
        help="Hardware classes, best first: auto, cpu, gpu-any, gpu-sm90 ...",
    ),
    click.option("--limit", type=click.IntRange(min=1), help="Take this many pictures or parts of videos at most."),
    click.option("--since", metavar="24h|DATE", help="Take only what was changed after this, of folders and prefixes."),
    click.option("--include", multiple=True, metavar="PATTERN", help="Take only these names, such as '*.jpg' (again)."),
    click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave these names out (again)."),
    click.option("--fps", type=float, help="Of videos: frames a second [default: every frame]."),
    click.option("--every", type=int, metavar="N", help="Of videos: one frame of N."),
    click.option("--keyframes", is_flag=True, help="Of videos: keyframes only."),
    click.option("--start", "start_s", type=float, default=0.0, metavar="SECONDS", help="Of videos: from here on."),
    click.option("--end", "end_s", type=float, metavar="SECONDS", help="Of videos: up to here."),
    click.option(
        "--segment", "segment_s", type=float, metavar="SECONDS", help="Cut videos into parts that workers share."
    ),
    click.option("--track", is_flag=True, help="Of videos: number the objects; such videos are not cut into parts."),
    click.option("--fail-partial", is_flag=True, help="Of videos: fail those of which frames are missing."),
    click.option(
        "--max-failure-rate", type=click.FloatRange(0, 1), default=0.02, show_default=True, help="Share that may fail."
    ),
    click.option("--max-failures", type=click.IntRange(min=0), help="Stop the job when more pictures failed."),
    click.option(
        "--canary",
        type=click.IntRange(min=0),
        metavar="N",
        help="Try this many pictures before the rest: by default 64 of 512 and more, 0 for none.",
    ),
    click.option("--deadline", callback=moment_to_come, metavar="06:30", help="Due then: goes before later ones."),
    click.option("--expires", callback=moment_to_come, metavar="12h", help="Give up then what is not labelled yet."),
    click.option("--gates", is_flag=True, help="Hold it against the good runs of its name before it, when it ends."),
    click.option(
        "--gate",
        "gate_limits",
        multiple=True,
        callback=_gate_limits,
        metavar="NAME=LIMIT",
        help="The same, by another limit (again): empty_rate_rise=0.2, or null, which lets all pass.",
    ),
    click.option("--name", default="", help="Name shown to people."),
    click.option("--tag", "tags", multiple=True, callback=_tags, metavar="KEY=VALUE", help="Kept with the job."),
    click.option("--priority", type=int, default=0, help="Higher goes first."),
    click.option(
        "--no-cache", is_flag=True, help="Run every picture, also those whose results are known from earlier runs."
    ),
    click.option("--shard-size", type=click.IntRange(min=1), help="Pictures a shard; by default from their number."),
)


def file_option(*flags: str) -> Callable[[F], F]:
    """Add the option that takes a job file in the place of all others."""
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option(*flags, "file", type=path, metavar="JOB.yaml", help="Take all of the job from a file.")


def job_options(command: F) -> F:
    """Add the options of a job to a command, which gets them as `**options` for `request_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def request_of(options: Mapping[str, Any]) -> JobRequest:
    """Sort the options of a command; what was not given is left to the model and the store.

    Raises:
        click.UsageError: no source or model, or options beside a job file, which says all.
        JobFileInvalid.
    """
    from producer.job_request import JobRequest

    if options.get("file") is not None:
        return _request_of_file(options)
    for name, shown in (("sources", "argument 'SOURCE...'"), ("model", "option '-m' / '--model'")):
        if not options[name]:
            raise click.UsageError(f"missing {shown}")

    rest = (
        "max_failure_rate", "max_failures", "deadline", "expires", "name", "tags", "priority", "shard_size",
    )  # fmt: skip
    return JobRequest(
        sources=options["sources"],
        model=model_reference(options["model"]),
        params=_given(options, PARAMS),
        wishes=_given(options, WISHES),
        hardware=_split(options["hardware"]),
        limit=options["limit"],
        video=_video(options),
        include=options["include"],
        exclude=options["exclude"],
        since=options["since"],
        moment=datetime.now().astimezone(),
        gates={} if options["gates"] and options["gate_limits"] is None else options["gate_limits"],
        rest={name: options[name] for name in rest}
        | {"canary_items": options["canary"], "use_cache": not options["no_cache"]},
    )


def _request_of_file(options: Mapping[str, Any]) -> JobRequest:
    """Give what a job file asks for now."""
    from producer.jobfile import read_job_file

    context = click.get_current_context()
    is_given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if others := sorted(set(is_given) - {"file"}):
        raise click.UsageError(f"--file says all of the job; write {others[0]!r} into the file, or leave --file out")
    job = read_job_file(options["file"])
    return replace(job.request(datetime.now().astimezone()), model=model_reference(job.model.id))


def _video(options: Mapping[str, Any]) -> VideoOptions:
    from videos.options import VideoOptions

    try:
        return VideoOptions(**{name: options[name] for name in VideoOptions.__dataclass_fields__})
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _given(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Only what was said: False is, None and an empty list are not."""
    return {name: options[option] for option, name in names.items() if options[option] not in (None, ())}


def check_here(settings: Settings, request: JobRequest) -> None:
    """Find what would fail the job before anything is started; only for jobs that run on this machine.

    Raises:
        ModelNotFound, PackageInvalid, NoRunnableBackend, ParameterInvalid.
    """
    from inference_engine.errors import NoRunnableBackend
    from inference_engine.families import recipe
    from inference_engine.finding import local_package
    from workers.trusting import operator_hints

    classes = classes_here(request.hardware)
    decisions = [decide_here(settings, request.model, hardware, request.wishes) for hardware in classes]
    decision = next((found for found in decisions if found.chosen is not None), decisions[0])
    if decision.chosen is None:
        told = f"{decision}{operator_hints(decision)}"
        raise NoRunnableBackend(f"nothing on this machine runs {decision.model_id}\n{told}")
    package = local_package(decision.packages[decision.chosen.package_id])
    if package.kind == "custom-code":
        return  # its parameters are known to its code only, which runs in the worker and not here
    recipe(package.family, package.task).check_params(request.params, package)


def hardware_here(wanted: str) -> str:
    """Give the class that workers on this machine serve.

    Raises:
        click.UsageError: this machine has no such hardware.
    """
    from inference_engine.machine import probe_machine
    from workers.placement import plan_slots

    try:
        return plan_slots(probe_machine(), wanted, (0,), 1)[0].hardware
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def classes_here(wanted: Sequence[str]) -> tuple[str, ...]:
    """Give those of the classes that workers on this machine serve, in the same order.

    Raises:
        click.UsageError: this machine has none of them.
    """
    found: dict[str, None] = {}
    problems = []
    for word in wanted:
        try:
            found[hardware_here(word)] = None
        except click.UsageError as error:
            problems.append(error)
    if not found:
        raise problems[0] if problems else click.UsageError("--hardware names no class; expected auto, cpu ...")
    return tuple(found)
