"""Embeddings are compared by their direction."""

import math

import numpy as np
import pytest

from inference_engine.errors import ParameterInvalid
from inference_engine.tasks.embedding import Embedding, compare_embeddings


def test_similarity_is_the_cosine_of_every_pair():
    x = np.array([[1, 0], [3, 4]], np.float32)
    y = np.array([[2, 0], [0, -5], [1, 1]], np.float32)

    found = compare_embeddings(x, y)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[1, 0, math.sqrt(0.5)], [0.6, -0.8, 7 / 5 / math.sqrt(2)]], atol=1e-7)


def test_one_vector_is_compared_as_a_row():
    assert compare_embeddings(np.ones(3), np.ones((2, 3))).shape == (1, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_neither_length_nor_precision_changes_the_direction(dtype):
    x = np.array([np.finfo(dtype).max, np.finfo(dtype).max], dtype)

    np.testing.assert_allclose(compare_embeddings(x, np.array([1, 1], dtype)), [[1]], atol=1e-6)


def test_a_vector_of_zeros_is_like_nothing():
    assert compare_embeddings(np.zeros(2), np.ones(2)).tolist() == [[0.0]]


def test_vectors_of_two_models_are_refused():
    with pytest.raises(ParameterInvalid, match=r"found \(1, 2\) and \(1, 3\)"):
        compare_embeddings(np.ones(2), np.ones(3))


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 4), (np.float16, 2)])
def test_a_blob_is_the_numbers_little_endian(dtype, size):
    vector = np.array([1.5, -2, 0.25], dtype)

    assert Embedding(vector, (4, 4)).to_blob() == vector.astype(f"<f{size}").tobytes()
