"""Static crop, grayscale and contrast, and every resize mode: pixels land where `Fit` says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_engine.errors import PackageInvalid, ParameterInvalid
from inference_engine.images import plan_fit, to_network, to_original
from inference_engine.inference_config import parse_inference_config
from inference_engine.network_input import Contrast, Crop, NetworkInput, ResizeMode, with_size
from inference_engine.pixels import crop_box, equalize, equalize_locally, stretch, to_gray

RNG = np.random.default_rng(11)


def ramp(height, width):
    """A picture whose red says the column and whose green says the row, up to 256 of each."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0], image[:, :, 1] = np.arange(width), np.arange(height)[:, None]
    return image


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.integers(40, 256), st.integers(40, 256)),
    st.sampled_from([(64, 64), (96, 160), (320, 320)]),
    st.sampled_from(list(ResizeMode)),
    st.sampled_from([None, Crop(10, 20, 90, 75), Crop(0, 0, 50, 50), Crop(33.3, 0, 66.6, 100)]),
    st.sampled_from([None, (100, 100), (200, 120)]),
    st.sampled_from([1, 32]),
)
def test_every_pixel_lies_where_the_fit_says(original_hw, hw, mode, crop, dataset_hw, divisor):
    network = NetworkInput(hw, mode, scaling_factor=1.0, crop=crop, dataset_hw=dataset_hw, divisor=divisor)

    pixels, fit = to_network(ramp(*original_hw), network)

    net_h, net_w = pixels.shape[2:]
    x = (np.arange(net_w) + 0.5 - fit.pad_xy[0]) / fit.scale_xy[0] + fit.offset_xy[0] - 0.5
    y = (np.arange(net_h) + 0.5 - fit.pad_xy[1]) / fit.scale_xy[1] + fit.offset_xy[1] - 0.5
    left, top, right, bottom = crop_box(original_hw, crop)
    columns = np.flatnonzero((x >= left + 3) & (x <= right - 4))
    rows = np.flatnonzero((y >= top + 3) & (y <= bottom - 4))
    assert columns.size
    assert rows.size
    # Each resize rounds to a whole grey and looks at whole neighbours, a few original pixels apart where it shrinks.
    tolerance = 1.6 + max(1 / min(fit.scale_xy), 1)
    np.testing.assert_allclose(pixels[0, 0][np.ix_(rows, columns)], np.tile(x[columns], (len(rows), 1)), atol=tolerance)
    np.testing.assert_allclose(
        pixels[0, 1][np.ix_(rows, columns)].T, np.tile(y[rows], (len(columns), 1)), atol=tolerance
    )


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 6000), st.integers(1, 6000)),
    st.sampled_from(list(ResizeMode)),
    st.sampled_from([None, Crop(10, 20, 90, 75), Crop(0, 0, 0.001, 0.001), Crop(99.9, 99.9, 100, 100)]),
    st.sampled_from([None, (480, 640)]),
    st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_box_comes_back_through_every_step(original_hw, mode, crop, dataset_hw, corners):
    fit, _ = plan_fit(original_hw, NetworkInput((384, 640), mode, crop=crop, dataset_hw=dataset_hw))
    x0, x1 = sorted(np.array(corners[:2]) * original_hw[1])
    y0, y1 = sorted(np.array(corners[2:]) * original_hw[0])
    scale, pad, offset = (np.array(each * 2) for each in (fit.scale_xy, fit.pad_xy, fit.offset_xy))
    there = (np.array([x0, y0, x1, y1]) - offset) * scale + pad

    (back,) = to_original(there[None].astype(np.float32), fit)

    reach = np.abs(there).max() / min(fit.scale_xy)
    np.testing.assert_allclose(back, [x0, y0, x1, y1], atol=1e-3 + 1e-6 * (reach + max(original_hw)))


def test_a_crop_is_percent_of_the_picture_and_says_where_it_lies():
    image = RNG.integers(0, 256, (50, 200, 3), dtype=np.uint8)
    network = NetworkInput((25, 60), scaling_factor=1.0, crop=Crop(20, 40, 50, 90))

    pixels, fit = to_network(image, network)

    np.testing.assert_array_equal(pixels[0].transpose(1, 2, 0), image[20:45, 40:100])
    assert (fit.offset_xy, fit.crop_hw, fit.original_hw) == ((40, 20), (25, 60), (50, 200))
    assert to_original(np.array([[0, 0, 60, 25]], np.float32), fit).tolist() == [[40, 20, 100, 45]]


@pytest.mark.parametrize("hw", [(1, 1), (1, 7), (3, 1)])
@pytest.mark.parametrize("crop", [Crop(0, 0, 1, 1), Crop(99, 99, 100, 100), Crop(30, 30, 40, 40)])
def test_a_crop_of_a_tiny_picture_keeps_a_pixel(hw, crop):
    left, top, right, bottom = crop_box(hw, crop)

    assert 0 <= left < right <= hw[1]
    assert 0 <= top < bottom <= hw[0]


def test_reflected_edges_mirror_the_picture():
    image = RNG.integers(0, 256, (16, 32, 3), dtype=np.uint8)

    pixels, fit = to_network(image, NetworkInput((32, 32), ResizeMode.LETTERBOX_REFLECT, scaling_factor=1.0))

    expected = np.pad(image, ((8, 8), (0, 0), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(pixels[0].transpose(1, 2, 0), expected)
    assert fit.pad_xy == (0, 8)


def test_reflected_edges_go_to_and_fro_where_the_border_is_wider_than_the_picture():
    pixels, _ = to_network(ramp(3, 64), NetworkInput((32, 64), ResizeMode.LETTERBOX_REFLECT, scaling_factor=1.0))

    assert pixels[0, 1, 14:22, 5].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


@pytest.mark.parametrize(
    ("hw", "pad_xy"), [((40, 64), (-16, -4)), ((41, 33), (0, -4)), ((10, 8), (12, 11)), ((32, 32), (0, 0))]
)
def test_a_centre_crop_takes_the_middle_and_pads_what_lacks(hw, pad_xy):
    image = RNG.integers(0, 256, (*hw, 3), dtype=np.uint8)

    pixels, fit = to_network(image, NetworkInput((32, 32), ResizeMode.CENTER_CROP, scaling_factor=1.0))

    assert fit.scale_xy == (1, 1)
    assert fit.pad_xy == pad_xy
    canvas = np.full((32, 32, 3), 114, np.uint8)
    (px, py), (height, width) = pad_xy, hw
    canvas[max(py, 0) : py + height, max(px, 0) : px + width] = image[max(-py, 0) :, max(-px, 0) :][
        : 32 - max(py, 0), : 32 - max(px, 0)
    ]
    np.testing.assert_array_equal(pixels[0].transpose(1, 2, 0), canvas)


def test_a_longer_edge_that_fits_gives_an_input_of_the_pictures_shape():
    image = RNG.integers(0, 256, (50, 100, 3), dtype=np.uint8)

    plain, _ = to_network(image, NetworkInput((64, 64), ResizeMode.FIT_LONGER_EDGE))
    divisible, fit = to_network(image, NetworkInput((64, 64), ResizeMode.FIT_LONGER_EDGE, divisor=24))

    assert plain.shape == (1, 3, 32, 64)
    assert divisible.shape == (1, 3, 48, 72)
    assert fit.pad_xy == (4, 8)


def test_a_picture_is_written_into_its_place_of_a_batch():
    image = RNG.integers(0, 256, (20, 40, 3), dtype=np.uint8)
    batch = np.full((2, 3, 32, 32), 9, np.float32)

    made, _ = to_network(image, NetworkInput((32, 32)), batch[1:])

    assert np.shares_memory(made, batch)
    np.testing.assert_array_equal(batch[1:], to_network(image, NetworkInput((32, 32)))[0])
    assert (batch[0] == 9).all()


def test_gray_has_three_equal_channels_of_luma():
    gray = to_gray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 10, 10]]], np.uint8))

    assert gray[0].tolist() == [[76] * 3, [150] * 3, [29] * 3, [10] * 3]


def test_stretching_fills_the_range_between_the_percentiles():
    image = np.repeat(np.linspace(100, 150, 3000).round().astype(np.uint8), 1).reshape(20, 50, 3)
    low, high = np.percentile(image, (2, 98))

    stretched = stretch(image)

    assert (stretched.min(), stretched.max()) == (0, 255)
    expected = np.clip((image - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(stretched, expected, atol=0.51)


def test_equalizing_maps_each_sample_to_its_rank():
    image = RNG.integers(0, 40, (30, 30, 3), dtype=np.uint8)

    expected = [[(image <= value).mean() * 255 for value in row] for row in image[0]]
    np.testing.assert_allclose(equalize(image)[0], expected, atol=0.51)


def test_local_equalizing_raises_contrast_and_keeps_the_hue():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :, 0] = RNG.integers(80, 100, (64, 64))
    image[:, :, 1] = image[:, :, 0] // 2

    raised = equalize_locally(image)

    assert raised[:, :, 0].std() > 2 * image[:, :, 0].std()
    assert (raised[:, :, 2] == 0).all()
    np.testing.assert_allclose(raised[:, :, 1], raised[:, :, 0] / 2, atol=2)


@pytest.mark.parametrize("step", [stretch, equalize, equalize_locally, to_gray], ids=lambda step: step.__name__)
@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_picture_of_one_colour_stays_one_colour(step, value):
    changed = step(np.full((9, 13, 3), value, np.uint8))

    assert changed.shape == (9, 13, 3)
    assert changed.dtype == np.uint8
    assert len(np.unique(changed)) == 1


def test_steps_come_in_the_order_crop_gray_contrast():
    image = RNG.integers(50, 120, (40, 40, 3), dtype=np.uint8)
    network = NetworkInput(
        (20, 20), scaling_factor=1.0, crop=Crop(0, 0, 50, 50), grayscale=True, contrast=Contrast.EQUALIZATION
    )

    pixels, _ = to_network(image, network)

    np.testing.assert_array_equal(pixels[0].transpose(1, 2, 0), equalize(to_gray(image[:20, :20])))


def config(steps=None, **network):
    return parse_inference_config(
        {
            "image_pre_processing": steps or {},
            "network_input": {"training_input_size": {"height": 30, "width": 40}} | network,
            "forward_pass": {"static_batch_size": 1},
        },
        "inference_config.json",
    )


def test_the_file_turns_each_step_on():
    steps = {
        "auto-orient": {"enabled": True},
        "static-crop": {"enabled": True, "x_min": 10, "x_max": 90, "y_min": 0, "y_max": 50.5},
        "contrast": {"enabled": True, "type": "Adaptive Equalization"},
        "grayscale": {"enabled": True},
    }

    network = config(steps, dataset_version_resize_dimensions={"height": 7, "width": 9}).network_input

    assert network.crop == Crop(10, 0, 90, 50.5)
    assert (network.grayscale, network.contrast, network.dataset_hw) == (True, Contrast.ADAPTIVE, (7, 9))


@pytest.mark.parametrize("step", ["static-crop", "contrast", "grayscale", "tile"])
def test_a_step_that_is_off_is_off(step):
    assert config({step: {"enabled": False}}).network_input == config().network_input


def test_a_network_of_free_size_is_padded_to_what_it_divides():
    divisible = {"type": "pad-to-be-divisible", "value": 32}

    network = config(dynamic_spatial_size_supported=True, dynamic_spatial_size_mode=divisible).network_input

    assert network.hw == (32, 64)
    assert with_size(network, (65, 64)).hw == (96, 64)
    assert with_size(config(dynamic_spatial_size_supported=True).network_input, (65, 63)).hw == (65, 63)
    assert with_size(config(dynamic_spatial_size_mode=divisible).network_input, (30, 40)).hw == (30, 40)
    with pytest.raises(ParameterInvalid, match="30, 40"):
        with_size(config().network_input, (64, 64))


def test_a_size_that_follows_the_picture_needs_one_picture_a_batch():
    free = {"resize_mode": "fit-longer-edge", "dynamic_spatial_size_supported": True}

    assert config(**free).network_input.resize_mode is ResizeMode.FIT_LONGER_EDGE
    with pytest.raises(PackageInvalid, match="fit-longer-edge"):
        config(resize_mode="fit-longer-edge")
    with pytest.raises(PackageInvalid, match="max_dynamic_batch_size of 1"):
        parse_inference_config(
            {"network_input": {"training_input_size": {"height": 30, "width": 40}} | free}, "inference_config.json"
        )
