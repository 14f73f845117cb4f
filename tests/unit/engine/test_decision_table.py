"""A decision prints as a table that fits a terminal."""

import pytest

from inference_engine.decision_table import WIDTH, columns, rows, text_table
from inference_engine.negotiation import Candidate, Reason

LONG = Reason("untrusted", "a TensorRT plan is machine code; it is opened only when trusted " * 3, "say so")


def candidate(package="pets-onnx", device="cpu", *reasons):
    return Candidate(package, "onnx", device, "fp32", "rejected" if reasons else "chosen", reasons)


def test_the_device_stands_in_the_table_where_there_are_several():
    one = [candidate(), candidate("other", "cpu", LONG), candidate("broken", "", LONG)]
    two = [candidate(), candidate("other", "cuda:1", LONG)]

    assert columns(one) == ("package", "backend", "precision", "verdict", "reason")
    assert columns(two) == ("package", "backend", "device", "precision", "verdict", "reason")
    assert "cuda:1" in text_table(two)
    assert "cpu" not in text_table(one)


def test_each_reason_has_a_row_and_its_candidate_is_named_once():
    found = list(
        rows([candidate("a", "cpu", Reason("needs_gpu", "no GPU"), Reason("untrusted", "code", "trust=True"))])
    )

    assert found == [
        ("a", "onnx", "fp32", "rejected", "needs_gpu: no GPU"),
        ("", "", "", "", "untrusted: code (trust=True)"),
    ]


@pytest.mark.parametrize("name", ["pets-onnx", "x" * 255])
def test_every_line_fits(name):
    text = text_table([candidate(name, "cpu", LONG, LONG), candidate(name, "cuda", LONG)])

    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) > 4
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_hash_stays_whole_to_be_copied():
    hint = f'trust="{"0123456789abcdef" * 4}"'

    assert hint in text_table([candidate("a" * 30, "cpu", Reason("untrusted", "a plan is machine code", hint))])


def test_an_empty_message_and_no_candidates_print():
    assert text_table([]) == "package  backend  precision  verdict  reason"
    assert text_table([candidate("a", "cpu", Reason("open_failed", ""))]).endswith("open_failed:")
