"""Names and texts that break programs: each is an item as it was written, or a refusal that names its line."""

import json
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from jobstore.schema import JobSpec
from producer.errors import ManifestInvalid, SourceEmpty
from producer.sources import expand
from producer.sources.manifest import MANIFEST_SUFFIXES

#: Of the kinds that collections of such texts agree on.
NAUGHTY = [
    "undefined", "NULL", "None", "true", "NaN", "-1/0", "1E+02", "0x0", "--help", "-rf", "$(touch x)", "`id`", "; id",
    "| id", "' OR 1=1 --", "'; DROP TABLE jobs; --", '"', "'", "\\", "%s%n%d", "%00", "%2e%2e%2f", "{0}", "{{7*7}}",
    "<script>alert(1)</script>", "<!ENTITY x SYSTEM 'file:///etc/passwd'>", "../../../etc/passwd", "....//x", "~root",
    "CON", "a:b", "ab\u202egpj.exe", "\u200b", "\ufeffx", "\u2028", "\u0085", "e\u0301", "\u00e9", "ﷺ", "🏳️‍🌈",
    "田中さん", "الكل", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A", "\x1b[31m", "\x07", "\x7f", "\x80", "\ufffe", "\U0010ffff", "=cmd|' /C calc'!A0",
    "@SUM(1)", "a" * 3000, " x ", ".", "#x", "x,y",
]  # fmt: skip


@pytest.mark.parametrize("text", NAUGHTY, ids=ascii)
def test_a_naughty_text_is_kept_to_the_letter(tmp_path, text):
    (tmp_path / "m.jsonl").write_text(json.dumps({"uri": f"/photos/{text}.jpg", "note": text, text: [text]}))
    parquet.write_table(pa.table({"uri": [f"/photos/{text}.jpg"], "note": [text]}), tmp_path / "m.parquet")

    (from_json,), (from_table,) = expand(tmp_path / "m.jsonl"), expand(tmp_path / "m.parquet")

    assert from_json.uri == from_table.uri
    assert from_json.metadata == {"note": text, text: [text]}
    assert from_table.metadata == {"note": text}
    assert from_json.uri.startswith("/")


def test_naughty_texts_are_stored_and_come_back(store, tmp_path):
    lines = [json.dumps({"uri": f"/photos/{n}/{text}.jpg", "note": text}) for n, text in enumerate(NAUGHTY)]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    items = list(expand(tmp_path / "m.jsonl"))

    job_id = store.add_job(JobSpec(model="digits"), items, lambda hardware: f"{hardware}.digits")

    assert store.status(job_id).total == len(NAUGHTY)
    store.cancel(job_id)
    assert [row.uri for row in store.results(job_id)] == [item.uri for item in items]


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=400), suffix=st.sampled_from(MANIFEST_SUFFIXES))
def test_any_bytes_are_items_or_a_refusal_by_line(tmp_path_factory, body, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(body)

    try:
        items = list(expand(path))
    except (ManifestInvalid, SourceEmpty):
        return
    assert all("\0" not in item.uri and "\n" not in item.uri for item in items)


BROKEN = {
    "UTF-16": "uri\na.jpg\n".encode("utf-16"),
    "Latin-1": "uri\nä.jpg\n".encode("latin-1"),
    "a zero byte": b"uri\na\0.jpg\n",
    "a lone surrogate": b"uri\n\xed\xa0\x80.jpg\n",
    "an overlong slash": b"uri\n..\xc0\xafetc\n",
    "a line without end": b"uri\n" + b"a" * (2 << 20),
    "deep JSON": b'{"uri": "a.jpg", "m": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number of a million digits": b'{"uri": "a.jpg", "n": ' + b"9" * 1_000_000 + b"}",
    "a key twice": b'{"uri": "a.jpg", "uri": "b.jpg"}',
    "infinity": b'{"uri": "a.jpg", "n": Infinity}',
    "a comment": b'{"uri": "a.jpg"} // note',
    "two objects on a line": b'{"uri": "a.jpg"}{"uri": "b.jpg"}',
    "single quotes": b"{'uri': 'a.jpg'}",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_broken_manifest_is_refused_by_its_line(tmp_path, body):
    path = tmp_path / ("m.csv" if body.startswith((b"uri", b"\xff")) else "m.jsonl")
    path.write_bytes(body)

    with pytest.raises(ManifestInvalid, match=r", line \d+: ") as caught:
        list(expand(path))
    assert len(str(caught.value)) < 600


def test_a_million_lines_take_the_memory_of_a_few(tmp_path):
    (tmp_path / "m.txt").write_text("".join(f"{n}.jpg\n" for n in range(1_000_000)))
    program = """
import itertools, sys
from producer.sources import expand
def peak():  # in kB, as in the test of manifests
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
items = expand(sys.argv[1])
list(itertools.islice(items, 1000))
before = peak()
print(1000 + sum(1 for _ in items), peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "m.txt"], capture_output=True, text=True, check=True
    )
    count, growth_kb = map(int, done.stdout.split())

    assert count == 1_000_000
    assert growth_kb < 2_000
