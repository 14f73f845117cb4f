"""What deploy/ and compose.yaml name exists, and they keep the rules of this project. No Docker is needed for it.

The schema beside the fixtures is that of compose-spec (Apache-2.0) as docker-compose 1.29.2 brings it.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from jobstore.views import AutoscaleFigures
from nightshift.cli import cli
from nightshift.settings import Settings, known_variables
from workers.exporter import AUTOSCALE
from workers.metrics import METRICS

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "deploy/docker").iterdir())
MANIFESTS = sorted((ROOT / "deploy/k8s").glob("*.yaml"))
FILES = [
    ROOT / "compose.yaml",
    ROOT / "docs/deployment.md",
    *(path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()),
]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text(encoding="utf-8"))["panels"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|KEY", re.IGNORECASE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def documents(kind: str) -> list[dict[str, Any]]:
    found = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    return [document for document in found if document["kind"] == kind]


DEPLOYMENTS = documents("Deployment")


def numbers_service() -> dict[str, Any]:
    """Where KEDA asks for figures."""
    return next(each for each in documents("Service") if each["metadata"]["name"] == "nightshift-numbers")


def pod(document: dict[str, Any]) -> dict[str, Any]:
    return document["spec"]["template"]["spec"]


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_variable_of_ours_is_a_setting(path):
    variables = set(re.findall(r"\bNIGHTSHIFT_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))

    assert variables <= set(known_variables())


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every call of `nightshift` that a file makes or advises."""
    for name, service in SERVICES.items():
        if str(service.get("image", "")).startswith("nightshift"):
            yield f"compose {name}", service["command"]
    for path in DOCKERFILES:
        text = path.read_text(encoding="utf-8")
        for listed in re.findall(r"^CMD (\[.*\])$|CMD (\[\"nightshift.*\])$", text, re.MULTILINE):
            words = json.loads(listed[0] or listed[1])
            yield named(path), words[words[0] == "nightshift" :]
    for document in [*DEPLOYMENTS, *documents("Job")]:
        yield document["metadata"]["name"], pod(document)["containers"][0]["args"]
    for path in (ROOT / "docs/deployment.md", ROOT / "deploy/prometheus/alerts.yml"):
        for line in re.findall(r"nightshift ((?:[a-z]+ ?)+(?:--[a-z-]+)?)", path.read_text(encoding="utf-8")):
            yield named(path), line.split()


@pytest.mark.parametrize(("place", "words"), list(command_lines()))
def test_every_command_exists(place, words):
    command: click.Command = cli
    for word in words:
        if word.startswith("-"):
            assert any(word in parameter.opts for parameter in command.params), f"{place}: {word}"
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{place}: nightshift {' '.join(words)}"
            command = found
    assert not isinstance(command, click.Group), f"{place}: nightshift {' '.join(words)} does nothing"


def expressions() -> list[tuple[str, str]]:
    panels = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    return panels + [(rule["alert"], rule["expr"]) for rule in ALERTS]


@pytest.mark.parametrize(("title", "expression"), expressions(), ids=[title for title, _ in expressions()])
def test_every_metric_and_label_of_a_panel_or_an_alert_is_exported(title, expression):
    known = {metric.name: metric for metric in METRICS}
    for metric in METRICS:
        if metric.kind == "histogram":
            known |= {f"{metric.name}_{part}": metric for part in ("bucket", "sum", "count")}
    used = re.findall(r"\bnightshift_\w+", expression)
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    selected = set(re.findall(r"(\w+)=~?\"", expression))

    assert used
    assert set(used) <= set(known)
    labels = {label for name in used for label in known[name].labels}
    assert grouped | selected <= labels | {"instance", "le"}
    assert expression.count("(") == expression.count(")")


def test_a_counter_is_never_shown_as_it_is():
    for _, expression in expressions():
        for name in re.findall(r"(?<!rate\()(?<!increase\()\bnightshift_\w+_total\b", expression):
            pytest.fail(f"{name} without rate or increase in {expression}")


def test_there_are_six_alerts_and_each_says_what_to_do():
    assert len(ALERTS) == 6
    for rule in ALERTS:
        assert {"alert", "expr", "labels", "annotations"} <= set(rule)
        assert {"summary", "action"} <= set(rule["annotations"])
        assert rule["labels"]["severity"] in {"warning", "critical"}


# -- compose ----------------------------------------------------------------------------------------------------------


def test_compose_keeps_the_compose_specification():
    schema = json.loads((ROOT / "tests/fixtures/compose_spec.json").read_text(encoding="utf-8"))

    jsonschema.Draft7Validator(schema).validate(COMPOSE)


def test_compose_runs_without_a_profile_what_a_fleet_needs():
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {
        "valkey", "postgres", "migrate", "api", "worker-cpu",
    }  # fmt: skip
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", [])} == {
        "gpu", "s3", "observe",
    }  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_private_and_has_no_secret_in_it(name):
    service = SERVICES[name]

    assert re.fullmatch(r"nightshift:(cpu|cuda)|[\w./-]+:v?\d+\.\d+[\w.-]*", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert not service.get("privileged")
    for variable, value in service.get("environment", {}).items():
        if SECRET_NAME.search(variable):
            assert re.fullmatch(r"\$\{\w+:[?-][^}]*\}", value), variable
    assert not re.search(r"://\w+:(?!\$\{)[^@$]+@", json.dumps(service))
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    for volume in service.get("volumes", []):
        source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).partition(":")[0]
        assert source.startswith("./") or source in COMPOSE["volumes"]


def test_what_others_wait_for_says_that_it_is_well():
    waited = {
        needed
        for service in SERVICES.values()
        for needed, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }

    assert waited
    assert all("healthcheck" in SERVICES[name] for name in waited)


def test_mounted_files_of_ours_exist():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./deploy"):
                assert (ROOT / volume.partition(":")[0]).exists()


def test_valkey_evicts_nothing_and_keeps_a_log():
    command = SERVICES["valkey"]["command"]

    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"


def test_a_worker_has_longer_to_stop_than_it_takes_to_drain():
    drain_s = Settings.model_fields["worker"].default.drain_s
    for name in ("worker-cpu", "worker-gpu"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= drain_s + 10
    for document in [each for each in DEPLOYMENTS if pod(each)["containers"][0]["args"][0] == "worker"]:
        spec = pod(document)
        variables = {entry["name"]: entry["value"] for entry in spec["containers"][0]["env"]}
        drain_s = float(variables["NIGHTSHIFT_WORKER__DRAIN_S"])
        assert spec["terminationGracePeriodSeconds"] >= drain_s + 10


# -- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCKERFILES, ids=named)
def test_an_image_is_built_in_two_stages_runs_as_nobody_and_holds_no_weights(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]

    assert len(bases) == 2
    for base in bases:
        default = next((line for line in lines if line.startswith("ARG BASE=")), "")
        reference = default.partition("=")[2] if base == "${BASE}" else base
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", reference), reference
    assert "USER 10001:10001" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert "VOLUME /cache" in last
    assert any(line.startswith("HEALTHCHECK ") for line in last)
    assert not any(line.startswith("ADD ") or ":latest" in line for line in lines)
    assert not SECRET_NAME.search("\n".join(line for line in lines if line.startswith(("ARG ", "ENV "))))


@pytest.mark.parametrize("path", DOCKERFILES, ids=named)
def test_an_image_installs_tested_versions_before_the_code_with_a_cache(path):
    text = path.read_text(encoding="utf-8")
    extras = set(PROJECT["project"]["optional-dependencies"])

    assert text.index("COPY pyproject.toml constraints.txt") < text.index("COPY . .")
    assert text.count("--mount=type=cache,target=/root/.cache/uv") == text.count("uv pip install")
    assert "-c constraints.txt" in text
    assert set(re.findall(r"--extra (\S+)", text)) <= extras
    assert "--extra postgres" in text


def test_the_build_gets_nothing_that_is_not_listed():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    listed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert lines[0] == "*"
    assert all((ROOT / name).exists() for name in listed)
    assert {*wheel["packages"], *wheel["force-include"]} <= set(listed)


# -- Kubernetes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DEPLOYMENTS, ids=lambda document: document["metadata"]["name"])
def test_a_deployment_runs_as_nobody_and_is_asked_what_the_launcher_answers(document):
    container = pod(document)["containers"][0]
    probes = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert pod(document)["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert probes == {"/healthz", "/readyz"}
    settings = Settings.model_fields
    ports = {"serve": settings["server"].default.port, "worker": settings["worker"].default.metrics_port}
    assert container["ports"][0]["containerPort"] == ports[container["args"][0]]
    assert re.fullmatch(r"nightshift:\d+\.\d+\.\d+-(cpu|cuda)", container["image"])
    assert {"memory"} <= set(container["resources"]["limits"])
    assert not any(SECRET_NAME.search(entry["name"]) for entry in container["env"])


@pytest.mark.parametrize("scaled", documents("ScaledObject"), ids=lambda document: document["metadata"]["name"])
def test_a_class_is_scaled_by_its_own_figures(scaled):
    target = next(d for d in DEPLOYMENTS if d["metadata"]["name"] == scaled["spec"]["scaleTargetRef"]["name"])
    hardware = target["metadata"]["labels"]["nightshift/class"]
    fields = {field.name for field in dataclasses.fields(AutoscaleFigures)}
    service = numbers_service()

    assert "replicas" not in target["spec"]
    for trigger in scaled["spec"]["triggers"]:
        metadata = trigger["metadata"]
        port = service["spec"]["ports"][0]["port"]
        assert metadata["url"] == f"http://{service['metadata']['name']}:{port}{AUTOSCALE}{hardware}"
        assert metadata["valueLocation"] in fields
        assert float(metadata["targetValue"]) > 0


def test_the_numbers_have_a_pod_that_always_runs():
    selector = numbers_service()["spec"]["selector"]
    chosen = [d for d in DEPLOYMENTS if selector.items() <= d["spec"]["template"]["metadata"]["labels"].items()]
    (minimum,) = [
        scaled["spec"]["minReplicaCount"]
        for scaled in documents("ScaledObject")
        if scaled["spec"]["scaleTargetRef"]["name"] == chosen[0]["metadata"]["name"]
    ]

    assert minimum >= 1


def test_every_deployment_has_a_disruption_budget():
    budgets = {json.dumps(d["spec"]["selector"], sort_keys=True) for d in documents("PodDisruptionBudget")}

    assert {json.dumps(d["spec"]["selector"], sort_keys=True) for d in DEPLOYMENTS} == budgets
