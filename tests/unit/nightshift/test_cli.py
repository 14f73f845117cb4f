"""The command line's form: light help, one place for errors, JSON everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from inference_engine.errors import ModelNotFound, NoRunnableBackend
from inference_engine.machine import probe_machine
from jobstore.errors import BrokerUnavailable, JobNotFound, SchemaOutdated, StoreUnavailable
from jobstore.schema import WorkerId, WorkerRow
from nightshift.cli import SECTIONS, cli
from nightshift.cli.errors import error_lines, report
from nightshift.errors import RedisNotFound, SettingsInvalid
from nightshift.settings import load_settings
from nightshift.stack import open_store
from producer.errors import MachineUnknown, SourceNotFound
from workers.machine_reports import report_of

NAMES = [name for commands in SECTIONS.values() for name in commands]
HEAVY = {
    "torch",
    "numpy",
    "cv2",
    "onnxruntime",
    "sqlalchemy",
    "alembic",
    "celery",
    "boto3",
    "pydantic",
    "rich",
    "redis",
}


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def leaves(command: click.Command) -> list[click.Command]:
    return list(command.commands.values()) if isinstance(command, click.Group) else [command]


def test_help_loads_nothing_heavy():
    source = (
        "import sys\nfrom nightshift.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print('\\n' + ' '.join(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert HEAVY.isdisjoint(done.stdout.splitlines()[-1].split())


def test_help_shows_every_section_and_command():
    text = CliRunner().invoke(cli, ["--help"]).output

    assert all(f"{section}:" in text for section in SECTIONS)
    assert all(f"\n  {name} " in text for name in NAMES)


@pytest.mark.parametrize(("section", "name"), [(s, n) for s, names in SECTIONS.items() for n in names])
def test_the_help_table_says_what_the_command_says_of_itself(section, name):
    said = SECTIONS[section][name][1]
    own = command_of(name).get_short_help_str(limit=200)

    assert own.rstrip(".") == said.rstrip(".")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_every_command_takes_json(name):
    foreground = {"start"}  # its output is a log

    for command in leaves(command_of(name)):
        if command.name not in foreground:
            assert any("--json" in parameter.opts for parameter in command.params), command.name


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_every_command_and_option_is_explained(name):
    for command in leaves(command_of(name)):
        assert command.help
        assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


def run_main(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nightshift", *arguments], capture_output=True, text=True, check=False)


def test_a_misspelt_command_names_the_nearest_and_exits_with_2():
    done = run_main("rnu")

    assert done.returncode == 2
    assert done.stderr.startswith("error: no command called 'rnu'; did you mean 'run'?\n  hint: ")


@pytest.mark.parametrize("arguments", [(), ("worker",)], ids=["nightshift", "a command of commands"])
def test_a_call_without_a_command_shows_the_help_as_it_is_and_exits_with_2(arguments):
    done = run_main(*arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("Usage: nightshift")
    assert len(done.stderr.splitlines()) > 8


def test_a_missing_option_is_told_with_the_commands_help():
    done = run_main("run", "photos")

    assert done.returncode == 2
    assert done.stderr == "error: missing option '-m' / '--model'\n  hint: nightshift run --help\n"
    assert not done.stdout


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StoreUnavailable("the database is away"), 4),
        (BrokerUnavailable("Redis is away"), 4),
        (RedisNotFound("there is no Redis to start"), 4),
        (NoRunnableBackend("nothing runs it"), 5),
        (ModelNotFound("no model"), 1),
        (JobNotFound("no job"), 1),
        (SchemaOutdated("old"), 1),
        (SettingsInvalid("unknown variable"), 2),
        (SourceNotFound("x: no such folder"), 2),
        (click.UsageError("wrong"), 2),
        (click.Abort(), 130),
        (click.exceptions.Exit(3), 3),
        (BrokenPipeError(), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_an_error_has_its_exit_status(error, expected, monkeypatch):
    monkeypatch.setattr("os.dup2", lambda *_: None)

    assert report(error) == expected


def test_a_defect_of_ours_is_not_dressed_up():
    with pytest.raises(ZeroDivisionError):
        report(ZeroDivisionError())


def test_further_lines_of_a_message_are_its_cause():
    message, cause, hint = error_lines(NoRunnableBackend("nothing runs digits\npackage  backend\nd  onnx"))

    assert (message, cause) == ("nothing runs digits", "package  backend\nd  onnx")
    assert "nightshift explain" in hint


def test_a_hint_that_the_message_holds_already_is_not_said_twice():
    assert error_lines(SchemaOutdated("old: run `nightshift db upgrade` now"))[2] == ""


@pytest.fixture
def data_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_jobs_of_a_new_machine_are_none(data_dir):
    done = CliRunner().invoke(cli, ["jobs"], standalone_mode=False)

    assert done.exception is None
    assert done.output.split() == ["job", "state", "done", "failed", "objects", "model", "name", "created"]


def test_a_configured_database_without_schema_is_not_upgraded_by_itself(monkeypatch, tmp_path):
    monkeypatch.setenv("NIGHTSHIFT_DATABASE_URL", f"sqlite:///{tmp_path}/fleet.db")

    done = CliRunner().invoke(cli, ["jobs"], standalone_mode=False)

    assert isinstance(done.exception, SchemaOutdated)


def test_upgrade_makes_the_schema_and_check_agrees(monkeypatch, tmp_path):
    monkeypatch.setenv("NIGHTSHIFT_DATABASE_URL", f"sqlite:///{tmp_path}/fleet.db")

    upgraded = CliRunner().invoke(cli, ["db", "upgrade", "--json"], standalone_mode=False)
    checked = CliRunner().invoke(cli, ["db", "check", "--json"], standalone_mode=False)

    assert json.loads(upgraded.output)["before"] is None
    assert json.loads(checked.output) == {"is_current": True}


def test_config_hides_passwords(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_BROKER_URL", "redis://:hunter2@fleet:6379/0")

    shown = json.loads(CliRunner().invoke(cli, ["config", "--json"]).output)["settings"]

    assert shown["NIGHTSHIFT_BROKER_URL"] == "redis://:***@fleet:6379/0"


def test_explain_of_the_starter_model_names_each_package_and_one_choice():
    done = CliRunner().invoke(cli, ["explain", "digits", "--json"], standalone_mode=False)
    report_ = json.loads(done.output)

    assert [c["verdict"] for c in report_["candidates"]].count("chosen") == 1
    assert all(c["reasons"] for c in report_["candidates"] if c["verdict"] != "chosen")


def test_explain_for_a_class_that_no_worker_ever_told_says_so_and_assumes_nothing_by_itself(data_dir):
    done = CliRunner().invoke(cli, ["explain", "digits", "--hardware", "gpu-sm90"], standalone_mode=False)

    assert isinstance(done.exception, MachineUnknown)
    assert "no worker of the class gpu-sm90" in str(done.exception)


@pytest.mark.parametrize(
    ("hardware", "status", "found"),
    [("cpu", 0, "chosen"), ("cpu-amx", 0, "bf16"), ("gpu-sm90", 5, "rejected")],
    ids=["cpu", "amx", "gpu"],  # the suite's PyTorch is built without CUDA, and so is that of the assumed machine
)
def test_explain_assumes_what_a_class_name_implies_where_that_is_asked_for(data_dir, hardware, status, found):
    arguments = ["explain", "digits", "--hardware", hardware, "--assume"]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)

    assert (done.return_value, found in done.output) == (status, True)
    assert "assumed from the class's name" in done.stderr


def test_explain_for_a_class_judges_by_the_machine_that_its_worker_told(data_dir):
    bare = replace(probe_machine(), packages={"onnxruntime": "1.20.0"}, distributions={"onnxruntime": "onnxruntime"})
    with open_store(load_settings()) as store:
        store.fleet.heartbeat(WorkerRow(WorkerId("night-worker"), "host", 7, "cpu", "cpu"), report_of(bare))
        store.fleet.worker_stopped(WorkerId("night-worker"))

    done = CliRunner().invoke(cli, ["explain", "digits", "--hardware", "cpu"], standalone_mode=False)
    shown = CliRunner().invoke(cli, ["explain", "digits", "--hardware", "cpu", "--json"], standalone_mode=False)

    assert "as reported by worker worker, last heard of" in done.stderr
    record = json.loads(shown.output)
    assert (record["chosen"]["backend"], record["machine"]["basis"]) == ("onnx", "last")
    assert "not_installed" in {reason["code"] for c in record["candidates"] for reason in c["reasons"]}


def test_models_lists_the_starter_model():
    assert "digits" in CliRunner().invoke(cli, ["models"]).output


def test_doctor_gives_a_level_for_everything_it_looks_at(data_dir):
    done = CliRunner().invoke(cli, ["doctor", "--json"], standalone_mode=False)
    findings = [json.loads(line) for line in done.output.splitlines()]

    assert {f["level"] for f in findings} <= {"ok", "warn", "fail"}
    assert {"python", "cpu", "gpu", "backend", "models", "broker", "database", "data"} == {
        f["subject"] for f in findings
    }
    assert not data_dir.exists()


def test_doctor_reports_a_broker_that_is_out_of_reach(data_dir, monkeypatch, tmp_path):
    monkeypatch.setenv("NIGHTSHIFT_BROKER_URL", f"redis+socket://{tmp_path}/nobody.sock")

    done = CliRunner().invoke(cli, ["doctor", "--json"], standalone_mode=False)
    broker = next(f for f in map(json.loads, done.output.splitlines()) if f["subject"] == "broker")

    assert (done.return_value, broker["level"]) == (4, "fail")
