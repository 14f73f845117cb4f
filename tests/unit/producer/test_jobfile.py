"""Job files: one model in three formats, and errors that say where, what was found and what to do."""

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema
import pytest

from jobstore.aftercare import Output, Webhook, WebhookEvent
from jobstore.crontimes import CatchUp
from jobstore.errors import InvalidSchedule
from producer.errors import JobFileInvalid
from producer.jobfile import JobFile, job_file_schema, parse_job, read_job_file
from producer.judging.gates import GateLimits

FULL = """\
name: yard-cameras
schedule: {cron: "30 2 * * MON-FRI", timezone: Europe/Berlin, catch_up: last, overlap: skip}
source: {uri: "s3://cams/yard/{date:%Y/%m/%d}/", include: ["*.jpg", "*.mp4"], video: {fps: 2}, since: 24h}
model: {id: digits, backend: auto, confidence: 0.3, classes: [person, forklift], batch: 4}
hardware: [gpu-sm90, gpu-any, cpu]
limits: {max_failure_rate: 0.02, timeout: 5h, priority: low}
output: {uri: "s3://labels/yard/{date}/", formats: [coco, label-studio], min_confidence: 0.5}
notify: [{webhook: "https://hooks.example/x", secret_env: HOOK_SECRET, on: [finished, failed, over_failure_rate]}]
tags: {team: yard}
"""
AS_TOML = """\
name = "yard-cameras"
hardware = ["gpu-sm90", "gpu-any", "cpu"]
tags = {team = "yard"}
[schedule]
cron = "30 2 * * MON-FRI"
timezone = "Europe/Berlin"
catch_up = "last"
overlap = "skip"
[source]
uri = "s3://cams/yard/{date:%Y/%m/%d}/"
include = ["*.jpg", "*.mp4"]
since = "24h"
video.fps = 2
[model]
id = "digits"
backend = "auto"
confidence = 0.3
classes = ["person", "forklift"]
batch = 4
[limits]
max_failure_rate = 0.02
timeout = "5h"
priority = "low"
[output]
uri = "s3://labels/yard/{date}/"
formats = ["coco", "label-studio"]
min_confidence = 0.5
[[notify]]
webhook = "https://hooks.example/x"
secret_env = "HOOK_SECRET"
on = ["finished", "failed", "over_failure_rate"]
"""
MOMENT = datetime(2026, 11, 21, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))


def write(folder: Path, text: str, suffix: str = ".yaml") -> Path:
    path = folder / f"job{suffix}"
    path.write_text(text)
    return path


def refused(folder: Path, text: str, suffix: str = ".yaml") -> str:
    path = write(folder, text, suffix)
    with pytest.raises(JobFileInvalid) as caught:
        read_job_file(path)
    return str(caught.value).replace(str(path), "job")


@pytest.mark.parametrize(
    "change",
    [
        {"notify": [{"webhook": "https://me:secret@hooks.example/x"}]},
        {"output": {"uri": "s3://key:secret@labels/yard"}},
    ],
    ids=["webhook", "output"],
)
def test_a_password_in_an_address_is_refused_before_it_is_stored(change):
    with pytest.raises(JobFileInvalid):
        parse_job({"source": "/photos", "model": "digits", **change})


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    yaml, toml = read_job_file(write(tmp_path, FULL)), read_job_file(write(tmp_path, AS_TOML, ".toml"))
    as_json = write(tmp_path, yaml.model_dump_json(exclude_defaults=True), ".json")
    assert yaml == toml == read_job_file(as_json)


def test_a_file_becomes_what_the_command_line_gives(tmp_path: Path) -> None:
    request = read_job_file(write(tmp_path, FULL)).request(MOMENT)
    spec = request.spec(("cpu",), schedule_id="s")
    now = MOMENT.timestamp()
    assert (request.sources, request.include) == (("s3://cams/yard/{date:%Y/%m/%d}/",), ("*.jpg", "*.mp4"))
    assert (request.hardware, request.since) == (("gpu-sm90", "gpu-any", "cpu"), "24h")
    assert request.video.fps == 2
    assert (spec.model, spec.name, spec.tags) == ("digits", "yard-cameras", {"team": "yard"})
    assert (spec.params, spec.wishes) == (
        {"confidence": 0.3, "classes": ["person", "forklift"]}, {"batch_size": 4},
    )  # fmt: skip
    assert (spec.priority, spec.expires, spec.schedule_id) == (-10, now + 5 * 3600, "s")
    assert spec.output == Output("s3://labels/yard/2026-11-21/", ("coco", "label-studio"), {"min_confidence": 0.5})
    wanted = (WebhookEvent.FINISHED, WebhookEvent.FAILED, WebhookEvent.OVER_FAILURE_RATE)
    assert spec.webhooks == (Webhook("https://hooks.example/x", "HOOK_SECRET", wanted),)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        pytest.param("", None, id="none"),
        pytest.param("gates: {}\n", GateLimits(), id="the usual"),
        pytest.param(
            "gates: {empty_rate_rise: 0.3, speed_share: null, min_images: 5}\n",
            GateLimits(empty_rate_rise=0.3, speed_share=None, min_images=5),
            id="own",
        ),
    ],
)
def test_gates_of_a_file_are_the_jobs_and_the_schedules(tmp_path: Path, text: str, limits: GateLimits | None) -> None:
    job = read_job_file(write(tmp_path, FULL + text))
    again = parse_job(json.loads(json.dumps(job.schedule_spec().job)))
    for each in (job, again):
        gates = each.request(MOMENT).spec(("cpu",)).gates
        assert (None if gates is None else GateLimits(**gates)) == limits


@pytest.mark.parametrize(
    ("text", "use_cache"),
    [
        pytest.param("source: /a\n", True, id="by default"),
        pytest.param("source: /a\nuse_cache: false\n", False, id="use_cache"),
        pytest.param("source: {uri: /a, skip_done: false}\n", False, id="skip_done"),
        pytest.param("source: {uri: /a, skip_done: true}\nuse_cache: true\n", True, id="both"),
    ],
)
def test_a_file_says_whether_what_is_done_is_run_again(tmp_path: Path, text: str, use_cache: bool) -> None:
    job = read_job_file(write(tmp_path, text + "model: digits\n"))
    assert job.request(MOMENT).spec(("cpu",)).use_cache is use_cache


def test_two_words_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    text = "source: {uri: /a, skip_done: true}\nuse_cache: false\nmodel: digits\n"
    assert "use_cache and source.skip_done contradict each other" in refused(tmp_path, text)


def test_a_file_becomes_a_schedule_that_reads_itself_again(tmp_path: Path) -> None:
    job = read_job_file(write(tmp_path, FULL))
    spec = job.schedule_spec()
    assert (spec.name, spec.cron, spec.timezone) == ("yard-cameras", "30 2 * * MON-FRI", "Europe/Berlin")
    assert spec.catch_up is CatchUp.LAST
    assert parse_job(json.loads(json.dumps(spec.job))) == job


@pytest.mark.parametrize("missing", ["name", "schedule"])
def test_a_schedule_needs_a_name_and_a_cron(missing: str) -> None:
    job = {"name": "x", "schedule": {"cron": "0 2 * * *"}, "source": "/a", "model": "digits"}
    del job[missing]
    with pytest.raises(InvalidSchedule, match=f"'{missing}' is missing"):
        parse_job(job).schedule_spec()


def test_short_forms_stand_for_the_long_ones() -> None:
    short = parse_job({"source": "/photos", "model": "digits", "hardware": "cpu"})
    long = parse_job({"source": {"uri": ["/photos"]}, "model": {"id": "digits"}, "hardware": ["cpu"]})
    assert short == long


def test_paths_are_meant_from_the_files_folder(tmp_path: Path) -> None:
    text = "source: [photos, ~/more, '/abs', 's3://b/k']\nmodel: ./mine\noutput: {uri: out}\n"
    job = read_job_file(write(tmp_path, text))
    assert job.source.uri == [f"{tmp_path}/photos", str(Path.home() / "more"), "/abs", "s3://b/k"]
    assert (job.model.id, job.output and job.output.uri) == (f"{tmp_path}/./mine", f"{tmp_path}/out")
    assert read_job_file(write(tmp_path, "source: a\nmodel: digits")).model.id == "digits"


BASE = "source: /photos\nmodel: digits\n"
YAML_TRAPS = [
    pytest.param(
        "source: /photos\nmodel:\n  id: digits\n  classes: [person, no]\n",
        "job, line 4: model.classes[1]: expected text, found no, which YAML 1.1 reads as the boolean false; "
        "put it in quotes: 'no'",
        id="no",
    ),
    pytest.param(
        BASE + "tags:\n  a: on\n",
        "job, line 4: tags.a: expected text, found on, which YAML 1.1 reads as the boolean true; "
        "put it in quotes: 'on'",
        id="on",
    ),
    pytest.param(
        BASE + "tags: {version: 1.0}\n",
        "job, line 3: tags.version: expected text, found 1.0, which YAML 1.1 reads as the number 1.0; "
        "put it in quotes: '1.0'",
        id="a version",
    ),
    pytest.param(
        BASE + "tags: {at: 2:30}\n",
        "job, line 3: tags.at: expected text, found 2:30, which YAML 1.1 reads in base 60; put it in quotes: '2:30'",
        id="a time of day",
    ),
    pytest.param(
        BASE + "limits: {max_failures: 1:30}\n",
        "job, line 3: limits.max_failures: expected a whole number, found 1:30, which YAML 1.1 reads in base 60",
        id="a number in base 60",
    ),
    pytest.param(
        BASE + "limits: {max_failures: 010}\n",
        "job, line 3: limits.max_failures: expected a whole number, found 010, which YAML 1.1 reads in base 8",
        id="a number in base 8",
    ),
    pytest.param(
        BASE + "name: 2026-11-20\n",
        "job, line 3: name: expected text, found 2026-11-20, which YAML 1.1 reads as a date; "
        "put it in quotes: '2026-11-20'",
        id="a date",
    ),
]


@pytest.mark.parametrize(("text", "words"), YAML_TRAPS)
def test_what_yaml_reads_otherwise_than_people_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert refused(tmp_path, text) == words


def test_on_is_a_key_like_any_other(tmp_path: Path) -> None:
    job = read_job_file(write(tmp_path, BASE + "notify:\n  - webhook: https://hooks.example/x\n    on: [failed]\n"))
    assert job.receivers()[0].on == (WebhookEvent.FAILED,)


@pytest.mark.parametrize(
    ("text", "suffix", "words"),
    [
        pytest.param(
            BASE + "modelx: x\n", ".yaml", "job, line 3: unknown key 'modelx'; did you mean 'model'?", id="key"
        ),
        pytest.param(
            BASE + "limits:\n  timeoutt: 5h\n", ".yaml",
            "job, line 4: unknown key 'limits.timeoutt'; did you mean 'timeout'?", id="key of a section",
        ),
        pytest.param(
            'source = "/a"\nmodel = "m"\n[limits]\ntimeoutt = "5h"\n', ".toml",
            "job, line 4: unknown key 'limits.timeoutt'; did you mean 'timeout'?", id="key in TOML",
        ),
        pytest.param(
            '{"source": "/a",\n "model": {"id": "m",\n  "classes": ["a",\n 3]}}', ".json",
            "job, line 4: model.classes[1]: expected text, found the number 3", id="JSON",
        ),
        pytest.param("model: digits\n", ".yaml", "job, line 1: 'source' is missing", id="missing"),
        pytest.param("", ".yaml", "job: expected keys such as source and model, found nothing", id="empty"),
        pytest.param(BASE + "model: x\n", ".yaml", "job, line 3: 'model' stands a second time; expected it once",
                     id="twice"),
        pytest.param('{"source": "/a", "source": "/b", "model": "m"}', ".json",
                     "job, 'source' stands a second time in one object; expected it once", id="twice in JSON"),
        pytest.param("a: &x 1\nb: *x\n", ".yaml",
                     "job, line 2: aliases (*name) are not taken; write the value again", id="alias"),
        pytest.param("a: [\n", ".yaml", "job, line 2: expected the node content, but found '<stream end>'", id="YAML"),
        pytest.param('{"a": \n', ".json", "job, line 2: expecting value", id="no JSON"),
        pytest.param(BASE + "schedule: {cron: 99 2 * * *}\n", ".yaml",
                     "job, line 3: schedule: cron '99 2 * * *' cannot be read (bad minute); expected minute, hour, "
                     "day, month and weekday, for example '30 2 * * MON-FRI'", id="cron"),
        pytest.param(BASE + "limits: {priority: urgent}\n", ".yaml",
                     "job, line 3: limits.priority: expected 'low', 'normal' or 'high', found 'urgent'", id="word"),
        pytest.param(BASE + "notify: [{webhook: https://h.example, on: [ended]}]\n", ".yaml",
                     "job, line 3: notify[0].on[0]: expected 'started', 'finished', 'failed', 'over_failure_rate', "
                     "'needs_attention', 'gates_failed' or 'missed', found 'ended'", id="event"),
    ],
)  # fmt: skip
def test_an_error_names_the_line_and_what_was_found(tmp_path: Path, text: str, suffix: str, words: str) -> None:
    assert words in refused(tmp_path, text, suffix).splitlines()


def test_every_error_is_told_at_once(tmp_path: Path) -> None:
    assert len(refused(tmp_path, BASE + "modelx: x\nhardwere: cpu\n").splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("job.ini", b"", "expected a name that ends in .yaml", id="suffix"),
        pytest.param("job.yaml", b"name: \xff", "is no UTF-8", id="encoding"),
        pytest.param("job.yaml", b"#" * (2**20 + 1), "has more than", id="size"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(JobFileInvalid, match=words):
        read_job_file(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(JobFileInvalid, match=r"job\.yaml cannot be read: No such file"):
        read_job_file(tmp_path / "job.yaml")


def test_the_schema_takes_what_the_model_takes(tmp_path: Path) -> None:
    schema = job_file_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for job in (
        {"source": "/a", "model": "m"},
        {"source": {"uri": "/a"}, "model": {"id": "m", "batch": "auto"}, "hardware": "cpu"},
        json.loads(JobFile.model_validate(read_job_file(write(tmp_path, FULL))).model_dump_json()),
    ):
        jsonschema.validate(job, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"source": "/a", "model": "m", "modelx": 1}, schema)
