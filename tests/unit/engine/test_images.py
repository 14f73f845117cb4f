"""Fitting a picture into the network and bringing boxes back."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_engine.images import plan_fit, to_network, to_original
from inference_engine.inference_config import NetworkInput, ResizeMode

RNG = np.random.default_rng(7)


def slow_reference(image, network):
    """The same preprocessing, one pixel at a time, in exact order: resize, pad, channels, scale, normalise."""
    net_h, net_w = network.hw
    height, width = image.shape[:2]
    if network.resize_mode is ResizeMode.STRETCH:
        new_h, new_w = net_h, net_w
    else:
        ratio = min(Fraction(net_h, height), Fraction(net_w, width))
        new_h, new_w = max(1, round(height * ratio)), max(1, round(width * ratio))
    canvas = np.full((net_h, net_w, 3), float(network.padding_value))
    top, left = (net_h - new_h) // 2, (net_w - new_w) // 2
    for y in range(new_h):
        for x in range(new_w):
            canvas[top + y, left + x] = bilinear(
                image, (y + 0.5) * height / new_h - 0.5, (x + 0.5) * width / new_w - 0.5
            )
    if network.color_mode == "bgr":
        canvas = canvas[:, :, [2, 1, 0]]
    result = canvas / network.scaling_factor
    if network.mean:
        result = result - network.mean
    if network.std:
        result = result / network.std
    return result.transpose(2, 0, 1)[None]


def bilinear(image, y, x):
    y, x = min(max(y, 0), image.shape[0] - 1), min(max(x, 0), image.shape[1] - 1)
    y0, x0 = math.floor(y), math.floor(x)
    y1, x1 = min(y0 + 1, image.shape[0] - 1), min(x0 + 1, image.shape[1] - 1)
    upper = image[y0, x0] * (1 - (x - x0)) + image[y0, x1] * (x - x0)
    lower = image[y1, x0] * (1 - (x - x0)) + image[y1, x1] * (x - x0)
    return upper * (1 - (y - y0)) + lower * (y - y0)


@pytest.mark.parametrize("side", [640, 416])
def test_the_longer_side_fills_the_network_for_every_width(side):
    network = NetworkInput((side, side))

    for width in range(1, 8193):
        for hw in ((max(1, width * 9 // 16), width), (width, max(1, width * 9 // 16))):
            fit, new_hw = plan_fit(hw, network)
            assert max(new_hw) == side, hw
            assert min(new_hw) >= 1
            assert fit.pad_xy == ((side - new_hw[1]) // 2, (side - new_hw[0]) // 2)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([(640, 640), (416, 416), (384, 640), (32, 1024)])
)
def test_a_picture_lies_within_the_network_and_fills_one_side(height, width, hw):
    fit, (new_h, new_w) = plan_fit((height, width), NetworkInput(hw))

    assert new_h == hw[0] or new_w == hw[1]
    assert 1 <= new_h <= hw[0]
    assert 1 <= new_w <= hw[1]
    assert fit.scale_xy == (new_w / width, new_h / height)


@pytest.mark.parametrize("hw", [(24, 32), (32, 24), (7, 5), (1, 50), (50, 1), (1, 1), (65, 129), (3, 2000)])
@pytest.mark.parametrize(
    "network",
    [
        NetworkInput((32, 32)),
        NetworkInput((24, 40), padding_value=0),
        NetworkInput((32, 32), color_mode="bgr", padding_value=200),
        NetworkInput((32, 32), scaling_factor=1.0, padding_value=9),
        NetworkInput((32, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        NetworkInput((24, 40), color_mode="bgr", scaling_factor=127.5, mean=(1.0, 0.5, 0.2), std=(2.0, 3.0, 4.0)),
        NetworkInput((24, 40), ResizeMode.STRETCH),
    ],
    ids=["plain", "oblong", "bgr", "unscaled", "imagenet", "all", "stretch"],
)
def test_pixels_are_those_of_a_slow_reference(hw, network):
    image = RNG.integers(0, 256, (*hw, 3), dtype=np.uint8)
    unit = 1 / network.scaling_factor / min(network.std or (1,))

    pixels, _ = to_network(image, network)

    assert pixels.dtype == np.float32
    assert pixels.shape == (1, 3, *network.hw)
    # OpenCV interpolates bytes with 11-bit weights and rounds to a whole grey: at most one grey away.
    np.testing.assert_allclose(pixels, slow_reference(image, network), atol=1.01 * unit, rtol=0)


def test_a_picture_of_the_networks_size_is_not_touched():
    image = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)

    pixels, fit = to_network(image, NetworkInput((32, 32)))

    np.testing.assert_array_equal(np.rint(pixels[0].transpose(1, 2, 0) * 255), image)
    assert (fit.scale_xy, fit.pad_xy) == ((1.0, 1.0), (0, 0))


def test_the_border_is_the_padding_value_scaled_and_normalised():
    network = NetworkInput((32, 32), padding_value=51, mean=(0.1, 0.0, 0.2), std=(0.5, 1.0, 2.0))

    pixels, _ = to_network(np.zeros((8, 32, 3), np.uint8), network)

    np.testing.assert_allclose(pixels[0, :, 0, 0], [0.2, 0.2, 0.0], atol=1e-6)
    np.testing.assert_allclose(pixels[0, :, 31, 31], [0.2, 0.2, 0.0], atol=1e-6)


def test_the_result_is_the_callers_own():
    image = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    before = image.copy()

    first, _ = to_network(image, NetworkInput((32, 32)))
    first[:] = -1
    second, _ = to_network(image, NetworkInput((32, 32)))

    np.testing.assert_array_equal(image, before)
    assert (second >= 0).all()


shares = st.floats(0, 1)


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 6000), st.integers(1, 6000)),
    st.sampled_from([(640, 640), (416, 416), (384, 640)]),
    st.sampled_from(list(ResizeMode)),
    st.tuples(shares, shares, shares, shares),
)
def test_a_box_comes_back_from_the_network_unchanged(original_hw, hw, mode, corners):
    fit, _ = plan_fit(original_hw, NetworkInput(hw, mode))
    x0, x1 = sorted(np.array(corners[:2]) * original_hw[1])
    y0, y1 = sorted(np.array(corners[2:]) * original_hw[0])
    (scale_x, scale_y), (pad_x, pad_y) = fit.scale_xy, fit.pad_xy
    there = [x0 * scale_x + pad_x, y0 * scale_y + pad_y, x1 * scale_x + pad_x, y1 * scale_y + pad_y]

    (back,) = to_original(np.array([there], np.float32), fit)

    assert back.dtype == np.float32
    np.testing.assert_allclose(back, [x0, y0, x1, y1], atol=2e-6 * max(original_hw) + 1e-3 / min(fit.scale_xy))


def test_the_whole_picture_in_the_network_is_the_whole_original():
    for original_hw in ((333, 1077), (8192, 3), (480, 640), (720, 1280)):
        fit, (new_h, new_w) = plan_fit(original_hw, NetworkInput((640, 640)))
        left, top = fit.pad_xy

        (back,) = to_original(np.array([[left, top, left + new_w, top + new_h]], np.float32), fit)

        np.testing.assert_allclose(back, [0, 0, original_hw[1], original_hw[0]], rtol=1e-6)


def test_boxes_are_clipped_to_the_picture():
    fit, _ = plan_fit((32, 64), NetworkInput((32, 32)))

    back = to_original(np.array([[-9, -9, 99, 99], [0, 0, 32, 4]], np.float32), fit)

    assert back.tolist() == [[0, 0, 64, 32], [0, 0, 64, 0]]


def test_no_boxes_give_no_boxes():
    fit, _ = plan_fit((32, 64), NetworkInput((32, 32)))

    assert to_original(np.zeros((0, 4), np.float32), fit).shape == (0, 4)
