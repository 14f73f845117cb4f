"""Activations of raw scores: finite whatever comes, and what the formulas say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference_engine.scores import sigmoid, softmax

logits = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.floats(-200, 200, width=32)
)


@given(logits)
def test_shares_are_those_of_exponentials_and_sum_to_one(values):
    found = softmax(values)

    for row, shares in zip(values.tolist(), found.tolist(), strict=True):
        powers = [math.exp(value - max(row)) for value in row]
        assert shares == pytest.approx([power / sum(powers) for power in powers], abs=1e-6)
    assert found.dtype == np.float32


@given(logits)
def test_each_number_alone_becomes_its_logistic(values):
    expected = [1 / (1 + math.exp(-value)) for value in values.reshape(-1).tolist()]

    assert sigmoid(values).reshape(-1).tolist() == pytest.approx(expected, abs=1e-6)


def test_numbers_that_overflow_single_precision_give_zero_and_one():
    extreme = np.array([-3e38, 3e38], np.float32)

    assert softmax(extreme).tolist() == [0.0, 1.0]
    assert sigmoid(extreme).tolist() == [0.0, 1.0]


def test_half_precision_is_computed_in_single():
    values = np.array([1, 2, 3], np.float16)

    np.testing.assert_allclose(softmax(values), softmax(values.astype(np.float32)))
    assert sigmoid(values).dtype == np.float32
