"""A producer is light: what labels, serves or queues is loaded by others, or when it is needed."""

import subprocess
import sys

import pytest

RUNTIMES = {"torch", "onnxruntime", "openvino", "tensorrt", "transformers", "cv2", "av", "inference_engine", "workers"}
SERVICES = {"fastapi", "uvicorn", "starlette", "jinja2", "celery", "kombu", "redis", "boto3", "nightshift"}
#: What costs a tenth of a second and more, and is loaded by the first call that needs it.
HEAVY = {"sqlalchemy", "numpy", "httpx", "pydantic", "pyarrow", "supervision", "pandas"}


def loaded(program):
    """Names of modules that a fresh interpreter has loaded after a program."""
    words = f"import sys\n{program}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_producer_loads_nothing_heavy():
    assert loaded("import producer") & (RUNTIMES | SERVICES | HEAVY) == set()


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("producer.Producer('http://127.0.0.1:1', token='x').close()", RUNTIMES | SERVICES),
        ("p = producer.Producer(); p.jobs(); p.close()", RUNTIMES | SERVICES | {"httpx"}),
        ("import producer.result, producer.where, producer.exporting", RUNTIMES | SERVICES | {"supervision"}),
    ],
    ids=["a server", "the store", "results"],
)
def test_each_way_loads_only_its_own(program, unwanted, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", str(tmp_path))

    assert loaded(f"import producer\n{program}") & unwanted == set()


def test_everything_public_is_listed_and_there():
    import producer

    assert all(hasattr(producer, name) for name in producer.__all__)
    assert sorted(producer.__all__) == producer.__all__
