"""dev.py reads pip's configuration, chooses a torch and does nothing twice. No network is used here."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dev():
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dev"] = module
    spec.loader.exec_module(module)
    return module


def test_pips_environment_wins_over_its_files(dev):
    text = "global.find-links='/global'\n:env:.find-links='/env'\ninstall.find-links='/install'\nglobal.cert='/c.pem'\n"

    assert dev.parse_pip_config(text) == {"find-links": "/env", "cert": "/c.pem"}


def test_a_value_of_many_lines_stays_one_option(dev):
    assert dev.parse_pip_config("global.find-links='\\n/a\\n/b'\n")["find-links"].split() == ["/a", "/b"]


def test_uv_is_told_what_pip_knows(dev, tmp_path):
    pip = {
        "find-links": f"{tmp_path} http://l /nowhere",
        "index-url": "http://i",
        "extra-index-url": "http://e http://f",
        "cert": "/c.pem",
    }

    assert dev.uv_environment(pip, {}) == {
        "UV_FIND_LINKS": f"{tmp_path},http://l",
        "UV_DEFAULT_INDEX": "http://i",
        "UV_INDEX": "http://e http://f",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/c.pem",
    }


def test_a_variable_of_uv_that_is_set_stays(dev):
    assert dev.uv_environment({"find-links": "/"}, {"UV_FIND_LINKS": "/mine"}) == {}


@pytest.mark.parametrize(
    ("wheel", "expected"),
    [
        ("torch-{pin}+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", True),
        ("torch-{pin}-cp311-cp311-manylinux_2_28_x86_64.whl", True),
        ("torch-{pin}+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", False),
        ("torch-1.0.0-cp311-cp311-manylinux_2_28_x86_64.whl", False),
        ("torchvision-{pin}-cp311-cp311-manylinux_2_28_x86_64.whl", False),
    ],
    ids=["local version", "plain", "other Python", "other version", "other project"],
)
def test_a_local_wheel_counts_when_version_and_python_fit(dev, tmp_path, wheel, expected):
    (tmp_path / wheel.format(pin=dev.TORCH_PIN)).touch()

    assert dev.has_local_torch(f"/nowhere {tmp_path}", "cp311") is expected


@pytest.mark.parametrize(
    ("is_linux", "has_driver", "expected"),
    [(True, False, "cpu"), (True, True, "registry"), (False, False, "registry")],
    ids=["linux", "linux with a driver", "elsewhere"],
)
def test_without_a_local_wheel_the_machine_decides_which_torch(dev, is_linux, has_driver, expected):
    assert dev.torch_rule("", "cp311", is_linux=is_linux, has_driver=has_driver) == expected


def test_a_local_wheel_is_taken_before_anything_else(dev, tmp_path):
    (tmp_path / f"torch-{dev.TORCH_PIN}-cp311-cp311-any.whl").touch()

    assert dev.torch_rule(str(tmp_path), "cp311", is_linux=True, has_driver=True) == "local"


def write_stamp(dev, monkeypatch, folder: Path, **stamp: object) -> None:
    monkeypatch.setattr(dev, "STAMP", folder / "stamp.json")
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    dev.STAMP.write_text(json.dumps(stamp))


def test_a_stamp_that_fits_means_that_nothing_is_installed(dev, monkeypatch, tmp_path):
    write_stamp(dev, monkeypatch, tmp_path, key=dev.fingerprint(), extras=["demo", "test", "torch"])
    monkeypatch.setattr(dev, "find_installer", lambda _: pytest.fail("nothing should be installed"))

    dev.ensure_environment(["test", "torch"])


@pytest.mark.parametrize("key", ["fingerprint", "another"])
def test_another_fingerprint_or_a_new_extra_installs(dev, monkeypatch, tmp_path, key):
    extras = ["torch"] if key == "fingerprint" else ["test", "torch"]
    write_stamp(dev, monkeypatch, tmp_path, key=dev.fingerprint() if key == "fingerprint" else key, extras=extras)
    calls: list[list[str]] = []
    installer = FakeInstaller(calls)
    monkeypatch.setattr(dev, "has_fitting_venv", lambda _: True)
    monkeypatch.setattr(dev, "find_installer", lambda _: installer)

    dev.ensure_environment(["test", "torch"])

    assert calls[-2:] == [["-e", ".[test,torch]"], ["--no-deps", "trackers"]]
    assert dev.read_stamp()["key"] == dev.fingerprint()


def test_without_torch_the_rest_is_installed(dev, monkeypatch, tmp_path):
    write_stamp(dev, monkeypatch, tmp_path)
    calls: list[list[str]] = []
    monkeypatch.setattr(dev, "has_fitting_venv", lambda _: True)
    monkeypatch.setattr(dev, "find_installer", lambda _: FakeInstaller(calls, refuses="torch"))

    dev.ensure_environment(["test", "torch"])

    assert calls[-2:] == [["-e", ".[test]"], ["--no-deps", "trackers"]]


class FakeInstaller:
    is_uv = True

    def __init__(self, calls: list[list[str]], refuses: str = "nothing") -> None:
        self.calls = calls
        self.refuses = refuses

    def install(self, arguments, **_options) -> bool:
        self.calls.append(list(arguments))
        return not arguments[0].startswith(self.refuses)

    def constraints(self) -> list[str]:
        return []


def test_a_python_that_is_too_old_is_told_so(dev, monkeypatch):
    monkeypatch.setattr(dev, "OLDEST_PYTHON", (3, 99))

    with pytest.raises(dev.SetupError, match=r"nightshift needs 3\.99"):
        dev.check_python()


def test_an_unknown_command_is_a_usage_error(dev, capsys):
    assert dev.main(["frobnicate"]) == 2
    assert "usage:" in capsys.readouterr().err


def test_constraints_pin_no_torch_and_name_no_index():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert all("==" in pin and "/" not in pin for pin in pins)
    assert not [pin for pin in pins if pin.startswith(("torch==", "triton==", "nvidia-", "-", "pip=="))]


def test_the_processes_of_a_run_of_tests_keep_what_they_compile(dev, monkeypatch):
    started = []
    monkeypatch.setattr(dev, "os", SimpleNamespace(environ={"PYTHONDONTWRITEBYTECODE": "1", "FAULT_SEED": "7"}))
    monkeypatch.setattr(dev, "run", lambda *command: started.append((command, dict(dev.os.environ))) or 0)

    assert dev.run_tests(["tests/unit"]) == 0

    ((command, environ),) = started
    assert command[-1] == "tests/unit"
    assert environ == {"FAULT_SEED": "7"} | dict.fromkeys(dev.THREAD_CAPS, "2")
