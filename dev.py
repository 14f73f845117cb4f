#!/usr/bin/env python3
"""Make the development environment and run a command in it: `python3 dev.py demo | test | lint | docs ...`.

Needs a bare Python and nothing else. The environment is `.venv` beside this file; a stamp in it remembers what it was
made from, so only a change of pyproject.toml, constraints.txt or this file installs anything again.

torch is not in the requirements, because the registry's Linux build drags in 3 GB of CUDA. The first rule that
fits decides: a local wheel in pip's find-links; an NVIDIA driver, or not Linux: the registry's build; else the build
for CPUs; and where that cannot be reached the work goes on without torch, since the ONNX path needs none.
Reasons: docs/decisions/0002.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = SCRIPTS / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "nightshift-stamp.json"
OLDEST_PYTHON = (3, 11)
TORCH_PIN = "2.13.0"

#: Every numeric library would start a thread a core in each test process; two are enough.
THREAD_CAPS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: Installed beside an extra without their own requirements, of which one would write over another package.
WITHOUT_REQUIREMENTS = {"test": ("trackers",)}
#: Never pinned: torch by the rule above, what only its CUDA builds bring, and what the environment brings itself.
NOT_PINNED = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*|pip|nightshift)$")

LINT_STEPS = (
    ("ruff check", ("ruff", "check", ".")),
    ("ruff format", ("ruff", "format", "--check", ".")),
    ("mypy", ("mypy",)),
    ("import contracts", ("lint-imports",)),
    ("codespell", ("codespell",)),
)


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


@dataclass(frozen=True)
class Command:
    """One word after `dev.py`: what it needs installed, and what it runs."""

    help: str
    extras: tuple[str, ...]
    run: Callable[[list[str]], int]


# --- what the environment was made from ------------------------------------------------------------------------------


def fingerprint() -> str:
    """Give a hash of everything that decides what is installed, but for the extras."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt", "dev.py"):
        path = ROOT / name
        digest.update(name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b"") + b"\0")
    digest.update(f"{ROOT}\0{sys.version_info[:2]}".encode())
    return digest.hexdigest()


def read_stamp() -> dict[str, object]:
    """Give what the last installation wrote, or an empty dict."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def stamped_extras(stamp: Mapping[str, object]) -> set[str]:
    """Give the extras that the stamp says are installed."""
    extras = stamp.get("extras")
    return {str(extra) for extra in extras} if isinstance(extras, list) else set()


# --- pip's configuration, for an installer that does not read it -----------------------------------------------------


def parse_pip_config(text: str) -> dict[str, str]:
    """Give pip's options from the lines of `pip config list`; the environment wins over [install] over [global]."""
    found: dict[str, tuple[int, str]] = {}
    rank = {":env:": 3, "install": 2, "global": 1}
    for line in text.splitlines():
        section, _, rest = line.partition(".")
        key, equals, value = rest.partition("=")
        if not equals or section not in rank:
            continue
        try:
            plain = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            plain = value
        if rank[section] >= found.get(key, (0, ""))[0]:
            found[key] = (rank[section], plain)
    return {key: value for key, (_, value) in found.items()}


def is_usable(link: str) -> bool:
    """Say whether find-links names a folder that is there, or an address: where pip only warns, uv gives up."""
    return "://" in link.removeprefix("file://") or Path(link.removeprefix("file://")).exists()


def uv_environment(pip: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Give uv's variables that say what pip's options say; a variable that is already set stays as it is."""
    wanted = {
        "UV_FIND_LINKS": ",".join(link for link in pip.get("find-links", "").split() if is_usable(link)),
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        # pip takes the best version of all indexes; uv would stop at the first index that knows the name.
        "UV_INDEX_STRATEGY": "unsafe-best-match" if pip.get("extra-index-url") else "",
        "UV_NO_INDEX": "1" if pip.get("no-index", "").lower() in {"1", "true", "yes"} else "",
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": pip.get("default-timeout", pip.get("timeout", "")),
        "SSL_CERT_FILE": pip.get("cert", ""),
        "SSL_CLIENT_CERT": pip.get("client-cert", ""),
        "ALL_PROXY": pip.get("proxy", ""),
    }
    return {name: value for name, value in wanted.items() if value and not environ.get(name)}


def pip_options() -> dict[str, str]:
    """Give pip's configuration as the environment's own pip reads it; without that pip, its variables."""
    listed = subprocess.run([str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return parse_pip_config(listed.stdout)
    prefix = "PIP_"
    names = [name for name in os.environ if name.startswith(prefix)]
    return {name[len(prefix) :].lower().replace("_", "-"): os.environ[name] for name in names}


# --- torch -----------------------------------------------------------------------------------------------------------


def has_local_torch(find_links: str, tag: str) -> bool:
    """Say whether a folder of pip's find-links holds the pinned torch for this Python, such as `cp311`."""
    folders = (Path(entry.removeprefix("file://")) for entry in find_links.split())
    pattern = f"torch-{TORCH_PIN}*-{tag}-*.whl"
    return any(folder.is_dir() and any(folder.glob(pattern)) for folder in folders)


def has_nvidia_driver() -> bool:
    """Say whether this machine has an NVIDIA driver, looked for in three places."""
    if Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi"):
        return True
    folders = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib", "/usr/lib")
    return any((Path(folder) / "libcuda.so.1").exists() for folder in folders)


def torch_rule(find_links: str, tag: str, *, is_linux: bool, has_driver: bool) -> str:
    """Name the rule that decides which torch is installed: `local`, `registry` or `cpu`."""
    if has_local_torch(find_links, tag):
        return "local"
    return "registry" if has_driver or not is_linux else "cpu"


def install_torch(installer: Installer, find_links: str) -> bool:
    """Install the torch that fits this machine and say whether there is one now."""
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    rule = torch_rule(find_links, tag, is_linux=sys.platform == "linux", has_driver=has_nvidia_driver())
    wanted = [f"torch=={TORCH_PIN}", *installer.constraints()]
    say(f"torch {TORCH_PIN}: {rule} build")
    if rule != "cpu":
        return installer.install(wanted)
    if not installer.is_uv:
        return False  # pip would need the address of an index, and none is written here
    wanted += ["--torch-backend", "cpu"]
    return installer.install(wanted, quiet=True, UV_HTTP_RETRIES="0") or installer.install(wanted)


# --- the environment -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Installer:
    """`uv pip install` or `pip install`, with pip's configuration known to both."""

    command: tuple[str, ...]
    environ: Mapping[str, str]
    is_uv: bool

    def install(self, arguments: Sequence[str], *, quiet: bool = False, **extra: str) -> bool:
        """Run one installation and say whether it worked; `extra` are environment variables."""
        done = subprocess.run(
            [*self.command, *arguments],
            env={**self.environ, **extra},
            cwd=ROOT,
            stderr=subprocess.DEVNULL if quiet else None,
            check=False,
        )
        return done.returncode == 0

    def constraints(self) -> list[str]:
        """Give the options that hold every requirement to its tested version."""
        return ["-c", str(ROOT / "constraints.txt")] if (ROOT / "constraints.txt").is_file() else []


def say(text: str) -> None:
    """Tell the person at the terminal; standard output belongs to the command."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def check_python() -> None:
    """Raise SetupError where this Python is too old, naming one on PATH that is not."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    newer = [f"python3.{minor}" for minor in range(14, OLDEST_PYTHON[1] - 1, -1) if shutil.which(f"python3.{minor}")]
    hint = f"run it with {newer[0]}, which is on PATH" if newer else "install one, for example with `uv python install`"
    found = ".".join(str(part) for part in sys.version_info[:3])
    raise SetupError(f"this is Python {found}; nightshift needs {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer: {hint}")


def make_venv() -> None:
    """Make `.venv` afresh, with the standard library or, where that lacks ensurepip, with uv."""
    try:
        import ensurepip  # noqa: F401
        import venv

        venv.create(VENV, with_pip=True, clear=True, symlinks=os.name != "nt")
    except (ImportError, subprocess.CalledProcessError) as error:
        uv = shutil.which("uv")
        made = uv and subprocess.run([uv, "venv", "--clear", "--python", sys.executable, str(VENV)], check=False)
        if not made or made.returncode:
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise SetupError(
                f"this Python cannot make virtual environments (ensurepip is missing: {error}); "
                f"on Debian or Ubuntu: apt install python{version}-venv; or put uv on PATH"
            ) from error


def has_fitting_venv(stamp: Mapping[str, object]) -> bool:
    """Say whether `.venv` works and was made here, by this version of Python."""
    if not PYTHON.exists() or stamp.get("root", str(ROOT)) != str(ROOT):
        return False
    try:
        config = (VENV / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False
    return (
        re.search(rf"^version(_info)? = {sys.version_info[0]}\.{sys.version_info[1]}\b", config, re.MULTILINE)
        is not None
    )


def find_installer(pip: Mapping[str, str]) -> Installer:
    """Give uv from PATH or from the environment, where it is installed if need be; else pip."""
    own = SCRIPTS / ("uv.exe" if os.name == "nt" else "uv")
    uv = shutil.which("uv") or (str(own) if own.exists() else None)
    pip_install = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if uv is None:
        subprocess.run([*pip_install, "uv"], stderr=subprocess.DEVNULL, check=False)
        uv = str(own) if own.exists() else None
    if uv is None:
        return Installer(tuple(pip_install), dict(os.environ), is_uv=False)
    environ = {**os.environ, **uv_environment(pip, os.environ)}
    return Installer((uv, "pip", "install", "--quiet", "--python", str(PYTHON)), environ, is_uv=True)


def ensure_environment(extras: Sequence[str]) -> None:
    """Install what a command needs, unless the stamp says that it is there."""
    stamp, key = read_stamp(), fingerprint()
    if stamp.get("key") == key and stamped_extras(stamp).issuperset(extras) and PYTHON.exists():
        return
    check_python()
    if not has_fitting_venv(stamp):
        say("making .venv")
        make_venv()
        stamp = {}
    STAMP.unlink(missing_ok=True)
    wanted = sorted({*extras, *stamped_extras(stamp)})
    pip = pip_options()
    installer = find_installer(pip)
    has_torch = install_torch(installer, pip.get("find-links", ""))
    if not has_torch:
        say("no torch for this machine could be reached: its backend is off, ONNX models run all the same")
    names = [extra for extra in wanted if has_torch or extra != "torch"]
    say(f"installing nightshift[{','.join(names)}]")
    if not installer.install([*installer.constraints(), "-e", f".[{','.join(names)}]"]):
        raise SetupError("the installation failed; what the installer said stands above")
    bare = [name for extra in names for name in WITHOUT_REQUIREMENTS.get(extra, ())]
    if bare and not installer.install([*installer.constraints(), "--no-deps", *bare]):
        raise SetupError(f"{', '.join(bare)} could not be installed; what the installer said stands above")
    STAMP.write_text(
        json.dumps({"key": key, "extras": wanted, "root": str(ROOT), "torch": has_torch}), encoding="utf-8"
    )


# --- commands --------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    """Run a program of the environment in this process's place; on Windows, as a child."""
    environ = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}"}
    sys.stdout.flush()
    if os.name == "nt":
        return subprocess.run(arguments, env=environ, check=False).returncode
    return os.execve(arguments[0], arguments, environ)  # noqa: S606  (signals and exit status are the program's own)


def run_tests(arguments: list[str]) -> int:
    """Run pytest with every thread pool capped; the whole suite in four processes, since much of it waits."""
    for name in THREAD_CAPS:
        os.environ.setdefault(name, "2")
    # Tests start some hundred processes; each would compile anew what it imports, PyTorch among it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # All processes must choose the same faults.
    os.environ.setdefault("FAULT_SEED", str(secrets.randbelow(2**31)))
    return run(str(PYTHON), "-m", "pytest", *(arguments or ("-n", "4", "--dist", "loadgroup")))


def run_lint(_: list[str]) -> int:
    """Run every checker, all at once, and report each in turn."""
    environ = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}"}
    started = [
        (name, subprocess.Popen([str(SCRIPTS / step[0]), *step[1:]], cwd=ROOT, env=environ, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        for name, step in LINT_STEPS
    ]  # fmt: skip
    failed = []
    for name, process in started:
        output, _errors = process.communicate()
        is_good = process.returncode == 0
        print(f"{'ok  ' if is_good else 'FAIL'}  {name}" + ("" if is_good else f"\n{output.rstrip()}"), flush=True)
        failed += [] if is_good else [name]
    return 1 if failed else 0


def run_docs(arguments: list[str]) -> int:
    """Write the generated parts of the documents; with `--families` after a run of the tests that prove families."""
    if "--families" in arguments:
        arguments = [argument for argument in arguments if argument != "--families"]
        marked = ("-m", "reaches", "--write-reached", str(ROOT / "nightshift" / "reached.json"))
        if status := subprocess.run([str(PYTHON), "-m", "pytest", "-q", *marked], cwd=ROOT, check=False).returncode:
            return status
    return run(str(PYTHON), "-m", "nightshift.docs_tables", *arguments)


def run_bench(arguments: list[str]) -> int:
    """Run one benchmark, or name them all."""
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py"))
    if not arguments or arguments[0] not in names:
        say(f"which benchmark? there are: {', '.join(names) or 'none'}")
        return 2
    return run(str(PYTHON), str(ROOT / "benchmarks" / f"{arguments[0]}.py"), *arguments[1:])


def run_demo(arguments: list[str]) -> int:
    """Run the demonstration."""
    return run(str(SCRIPTS / "nightshift"), "demo", *arguments)


#: What runs once more with a job store that loses replies of commits.
LOSSY_TESTS = (
    "unit/jobstore", "unit/workers", "unit/producer", "unit/nightshift", "contract/jobstore", "contract/producer",
    "contract/exports", "integration", "migrations",
)  # fmt: skip


def run_faults(arguments: list[str]) -> int:
    """Run the fault programme; with `--suite`, the ordinary tests with a store that loses replies."""
    if arguments[:1] == ["--suite"]:
        folders = [f"tests/{name}" for name in LOSSY_TESTS]
        return run_tests(["-p", "tests.faults.lossy", *folders, *arguments[1:]])
    return run(str(PYTHON), "-m", "tests.faults", *arguments)


def run_mutants(arguments: list[str]) -> int:
    """Break the code in the ways that the tests must notice."""
    return run(str(PYTHON), "-m", "tests.faults.mutants", *arguments)


def write_constraints(_: list[str]) -> int:
    """Write the versions that are installed now, which the tests just passed with, to constraints.txt."""
    source = "import importlib.metadata as m\nfor d in m.distributions(): print(d.metadata['Name'] + '==' + d.version)"
    listed = subprocess.run([str(PYTHON), "-c", source], capture_output=True, text=True, check=True).stdout.split()
    pins = sorted({pin for pin in listed if not NOT_PINNED.match(pin.partition("==")[0].lower())}, key=str.lower)
    head = (
        "# Tested versions. Made by: python3 dev.py constraints. torch is chosen by dev.py, see docs/decisions/0002.\n"
    )
    (ROOT / "constraints.txt").write_text(head + "\n".join(pins) + "\n", encoding="utf-8")
    say(f"{len(pins)} versions written to constraints.txt")
    return 0


COMMANDS = {
    "demo": Command("label the sample pictures on this machine", ("demo", "torch"), run_demo),
    "test": Command("run the tests; arguments go to pytest", ("test", "torch"), run_tests),
    # The checker of types sees the packages that are installed: the tests' ones too, so that it always says the same.
    "lint": Command("check style, types, import contracts and spelling", ("lint", "test", "torch"), run_lint),
    "docs": Command("write the generated parts of the documents", ("demo", "torch"), run_docs),
    "bench": Command("run benchmarks/NAME.py", ("test", "torch"), run_bench),
    "faults": Command("break the system on purpose, and report; --minutes 30, --suite", ("test", "torch"), run_faults),
    "mutants": Command("break the code on purpose: the tests must notice", ("test", "torch"), run_mutants),
    "constraints": Command("pin what is installed now", ("lint", "test", "torch"), write_constraints),
}


def usage() -> str:
    """Give the words of `--help`."""
    lines = [f"  {name:<12} {command.help}" for name, command in COMMANDS.items()]
    return "usage: python3 dev.py COMMAND [ARGUMENTS...]\n\n" + "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Give the exit status: 2 for a wrong call, 1 where the environment cannot be made, else the command's own."""
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0 if arguments else 2
    command = COMMANDS.get(arguments[0])
    if command is None:
        print(f"dev.py: no command called {arguments[0]!r}\n{usage()}", file=sys.stderr)
        return 2
    try:
        ensure_environment(command.extras)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return command.run(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
