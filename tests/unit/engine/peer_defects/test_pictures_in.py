"""What goes into a model: its form, its range, its colours, its size, its turn."""

import io
import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from inference_engine import AutoModel
from inference_engine.errors import InputInvalid
from inference_engine.images import plan_fit
from inference_engine.network_input import NetworkInput
from tests.unit.engine.conftest import INFERENCE
from tests.unit.engine.peer_defects.conftest import DIGITS

BGR = (2, 1, 0)


def forms(page, tmp_path):
    """The same picture as everything that a caller may have."""
    bgr = np.ascontiguousarray(page[..., BGR])
    path = tmp_path / "page.png"
    cv2.imwrite(str(path), bgr)
    return {
        "array": bgr,
        "batch of arrays": bgr[None],
        "tensor": torch.from_numpy(page).permute(2, 0, 1),
        "batch of tensors": torch.from_numpy(page).permute(2, 0, 1)[None],
        "four channels": np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)]),
        "Pillow": Pictures.fromarray(page),
        "bytes": path.read_bytes(),
        "path": path,
        "text path": str(path),
    }


def test_peer_defect_6_every_form_of_a_picture_gives_the_same_boxes_alone_and_mixed(page, tmp_path):
    model, given = AutoModel.from_pretrained(DIGITS), forms(page, tmp_path)
    (expected,) = model(page, input_color_format="rgb")

    assert len(expected) > 3
    assert {name: model(form) == [expected] for name, form in given.items()} == dict.fromkeys(given, True)
    for found in model(list(given.values())):
        assert found.names == expected.names
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=1e-2)  # sums in another order in a batch


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 1)], ids=["two axes", "one channel"])
def test_peer_defect_6_a_grey_picture_is_one_with_three_equal_channels(page, shape):
    model = AutoModel.from_pretrained(DIGITS)
    grey = cv2.resize(cv2.cvtColor(page, cv2.COLOR_RGB2GRAY), (80, 60))

    assert model(grey.reshape(shape)) == model(np.dstack([grey] * 3))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8), [], object(), "gone"])
def test_peer_defect_6_what_is_no_picture_raises_an_error_of_ours(wrong):
    with pytest.raises(InputInvalid):
        AutoModel.from_pretrained(DIGITS)(wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_peer_defect_7_floats_from_0_to_1_are_the_picture_that_they_were_made_of(page, dtype):
    model = AutoModel.from_pretrained(DIGITS)

    whole, share = page.astype(dtype), (page / 255).astype(dtype)

    assert model(share) == model(whole) == model(page)


def test_peer_defect_7_a_range_that_is_no_pictures_is_refused(page):
    with pytest.raises(InputInvalid, match="expected 0 to 1 or 0 to 255"):
        AutoModel.from_pretrained(DIGITS)(page / 255 * 2)


def test_peer_defect_19_the_order_of_colours_is_the_callers_in_every_family(model):
    rgb = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    bgr, ask = np.ascontiguousarray(rgb[..., BGR]), {"confidence": 0}

    as_rgb = model(rgb, input_color_format="rgb", **ask)

    assert model(bgr, input_color_format="bgr", **ask) == model(bgr, **ask) == as_rgb
    assert not np.array_equal(*(next(iter(model.preprocess(picture)[0].values())) for picture in (rgb, bgr)))


def test_peer_defect_22_reflected_edges_mirror_the_picture(write_package):
    network = {**INFERENCE["network_input"], "resize_mode": "letterbox-reflect-edges", "scaling_factor": 1}
    model = AutoModel.from_pretrained(write_package(inference=INFERENCE | {"network_input": network}))
    rows = np.arange(16, dtype=np.uint8)[:, None, None] * np.ones((1, 32, 3), np.uint8)

    (pixels,) = model.preprocess(rows)[0].values()

    # 16 rows lie in the middle of 32; the border runs back from row 1 and from the last row but one.
    assert pixels[0, 0, :, 0].tolist() == [*range(8, 0, -1), *range(16), *range(14, 6, -1)]


def turned(picture, orientation):
    """A JPEG stored so that its tag has to be applied for it to look like `picture`."""
    exif = Pictures.Exif()
    exif[0x0112] = orientation
    stored = {3: np.rot90(picture, 2), 6: np.rot90(picture), 8: np.rot90(picture, -1)}[orientation]
    file = io.BytesIO()
    Pictures.fromarray(np.ascontiguousarray(stored)).save(file, "JPEG", quality=100, subsampling=0, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_peer_defect_22_a_turned_photograph_is_seen_upright_and_its_boxes_lie_on_the_upright_one(page, orientation):
    model, data = AutoModel.from_pretrained(DIGITS), turned(page, orientation)
    (expected,) = model(page, input_color_format="rgb")

    from_bytes, from_pillow = model([data, Pictures.open(io.BytesIO(data))])

    assert from_bytes.image_hw == from_pillow.image_hw == page.shape[:2]
    for found in (from_bytes, from_pillow):
        assert found.names == expected.names
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=2)


@pytest.mark.parametrize("size", [640, 416])
def test_peer_defect_28_the_longer_side_fills_the_network_for_every_width_up_to_8192(size):
    network = NetworkInput((size, size))

    short = [
        (height, width)
        for width in range(1, 8193)
        for height in (max(1, width * 3 // 4), width)
        if plan_fit((height, width), network)[1][1] != size or plan_fit((width, height), network)[1][0] != size
    ]

    assert short == []


@pytest.mark.parametrize("width", [77, 154, 303, 581, 720, 1077])
def test_peer_defect_28_boxes_come_back_to_the_edges_of_the_picture(width):
    fit, (new_h, new_w) = plan_fit((width, width), NetworkInput((640, 640)))

    assert (new_h, new_w, fit.pad_xy) == (640, 640, (0, 0))
    assert math.isclose(640 / fit.scale_xy[0], width)


@pytest.mark.parametrize("resize", ["letterbox", "stretch", "center-crop"])
def test_peer_defect_30_a_crop_at_the_corner_keeps_results_in_the_whole_picture(write_package, resize):
    crop = {"static-crop": {"enabled": True, "x_min": 0, "x_max": 50, "y_min": 0, "y_max": 50}}
    head = np.array([[16, 8], [16, 8], [8, 16], [8, 16], [0.9, 0.1], [0.1, 0.8]])
    network = {**INFERENCE["network_input"], "resize_mode": resize}
    config = INFERENCE | {"image_pre_processing": crop, "network_input": network}

    (found,) = AutoModel.from_pretrained(write_package(inference=config, head=head))(np.zeros((64, 64, 3), np.uint8))

    # The upper left 32 x 32 pixels lie in the network as they are.
    assert found.image_hw == (64, 64)
    assert found.xyxy.tolist() == [[12, 12, 20, 20], [0, 0, 16, 16]]
