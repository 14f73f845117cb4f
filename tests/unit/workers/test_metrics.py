"""Names, help and labels of every metric (prometheus.io/docs/practices/naming), and what the meter counts."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jobstore.schema import ItemError, Outcome, OutcomeState
from workers.metrics import METRICS, PROCESS_METRICS, Meter, MeteredReader, ModelLabels

LABELS = ModelLabels("digits", "object-detection", "onnx")
UNITS = ("_seconds", "_bytes", "_ratio", "_items", "_messages", "_info", "_timestamp_seconds")
#: Gauges that count things have the things' name and no unit.
COUNTED = {"nightshift_jobs", "nightshift_workers", "nightshift_worker_processes", "nightshift_models_loaded"}
#: 1 or 0, as Prometheus's own `up`.
FLAGS = {"nightshift_store_up"}


@pytest.fixture
def meter() -> Meter:
    return Meter("cpu")


def value(meter: Meter, name: str, **labels: str) -> float | None:
    return meter.registry.get_sample_value(name, labels)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_asks(metric):
    assert re.fullmatch(r"nightshift_[a-z0-9]+(_[a-z0-9]+)*", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert metric.kind == "counter" or metric.name.endswith(UNITS) or metric.name in COUNTED | FLAGS
    assert not re.search(r"_(ms|milliseconds|minutes|mb|kb|percent|count|sum|bucket)(_|$)", metric.name)
    assert metric.help.endswith(".")
    assert not {"job", "job_id", "shard", "item", "le", "instance"}.intersection(metric.labels)
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_no_two_metrics_share_a_name():
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", [m for m in PROCESS_METRICS if m.kind == "gauge"], ids=lambda metric: metric.name)
def test_a_gauge_of_several_processes_says_how_they_become_one(metric):
    assert metric.mode in {"livesum", "liveall", "livemax"}


def test_outcomes_are_counted_with_their_stages_and_tries(meter):
    meter.recorded(
        LABELS,
        [
            Outcome(0, OutcomeState.OK, timings_ms={"fetch": 2.0, "forward": 40.0}),
            Outcome(1, OutcomeState.OK, timings_ms={"fetch": 4.0}, tries=3),
            Outcome(2, OutcomeState.FAILED, error=ItemError("not_an_image", "no")),
        ],
    )

    model = {"model": "digits", "task": "object-detection", "backend": "onnx", "hardware": "cpu"}
    assert value(meter, "nightshift_items_total", **model, outcome="ok") == 2
    assert value(meter, "nightshift_items_total", **model, outcome="failed") == 1
    assert value(meter, "nightshift_stage_duration_seconds_sum", stage="fetch") == pytest.approx(0.006)
    assert value(meter, "nightshift_stage_duration_seconds_bucket", stage="forward", le="0.05") == 1
    assert value(meter, "nightshift_retries_total", reason="item") == 2


def test_runs_of_a_model_are_counted_with_their_images(meter):
    forward = meter.metered(LABELS, lambda tensors: {"out": tensors["images"]})

    forward({"images": np.zeros((3, 2))})
    forward({"images": np.zeros((1, 2))})

    assert value(meter, "nightshift_batch_items_sum", model="digits") == 4
    assert value(meter, "nightshift_batch_items_bucket", model="digits", le="1.0") == 1
    assert value(meter, "nightshift_forward_duration_seconds_count", model="digits") == 2


def test_a_run_that_raises_is_not_counted(meter):
    def fails(tensors):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        meter.metered(LABELS, fails)({"images": np.zeros((1, 2))})

    assert value(meter, "nightshift_forward_duration_seconds_count", model="digits") == 0


def test_each_candidate_of_a_decision_is_counted_with_the_first_reason_against_it(meter):
    chosen = SimpleNamespace(backend="onnx", reasons=())
    refused = SimpleNamespace(backend="trt", reasons=(SimpleNamespace(code="no_gpu"), SimpleNamespace(code="more")))
    slower = SimpleNamespace(backend="torch", reasons=())

    meter.decided(SimpleNamespace(chosen=chosen, candidates=(refused, chosen, slower)))

    name = "nightshift_backend_decisions_total"
    assert value(meter, name, backend="onnx", verdict="chosen", reason="") == 1
    assert value(meter, name, backend="trt", verdict="rejected", reason="no_gpu") == 1
    assert value(meter, name, backend="torch", verdict="runnable", reason="") == 1


@pytest.mark.parametrize(
    ("uri", "scheme"), [("/photos/a.jpg", "file"), ("s3://bucket/a.jpg", "s3"), ("HTTPS://host/a?b=c://d", "https")]
)
def test_bytes_are_counted_by_scheme(meter, uri, scheme):
    reader = MeteredReader(SimpleNamespace(read=lambda _: b"12345"), meter)

    assert reader.read(uri) == b"12345"

    assert value(meter, "nightshift_fetch_bytes_total", scheme=scheme) == 5


def test_what_is_exposed_parses_and_is_what_the_tables_say(meter):
    families = {
        family.name: family for family in text_string_to_metric_families(generate_latest(meter.registry).decode())
    }

    for metric in PROCESS_METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
