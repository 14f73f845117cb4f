"""Everything that may be passed as an image, and that what may not is refused with our own errors."""

import io

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference_engine.errors import EngineError, ImageUnreadable, InputInvalid
from inference_engine.inputs import as_rgb_images

RGB = np.random.default_rng(5).integers(0, 256, (6, 8, 3), dtype=np.uint8)
BGR = np.ascontiguousarray(RGB[:, :, ::-1])
GREY = np.random.default_rng(6).integers(0, 256, (6, 8), dtype=np.uint8)
CHW = torch.from_numpy(RGB.transpose(2, 0, 1).copy())
PNG = cv2.imencode(".png", BGR)[1].tobytes()


def only(images, color_format=None):
    (image,) = as_rgb_images(images, color_format)
    return image


@pytest.mark.parametrize(
    "given",
    [
        BGR,
        BGR[None],
        [BGR],
        (BGR,),
        np.dstack([BGR, GREY]),
        BGR.astype(np.float32),
        BGR.astype(np.float64) / 255,
        (BGR / 255).astype(np.float32),
        BGR.astype(np.int64),
        BGR.astype(">i4"),
        np.asfortranarray(BGR),
        np.repeat(BGR, 2, axis=1)[:, ::2],
        CHW,
        CHW[None],
        CHW.float(),
        CHW.float() / 255,
        CHW.double().requires_grad_(),
        CHW.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        torch.cat([CHW, CHW[:1]]),
        PIL.Image.fromarray(RGB),
        PIL.Image.fromarray(np.dstack([RGB, GREY])),
        PNG,
        bytearray(PNG),
        memoryview(PNG),
    ],
    ids=[
        "HWC", "BHWC", "list", "tuple", "BGRA", "float 0-255", "double 0-1", "float 0-1", "int64", "big-endian",
        "fortran", "strided", "CHW", "BCHW", "float CHW", "float CHW 0-1", "requires grad", "permuted", "RGBA CHW",
        "PIL", "PIL RGBA", "bytes", "bytearray", "memoryview",
    ],
)  # fmt: skip
def test_an_image_in_any_form_is_the_same_pixels(given):
    image = only(given)

    np.testing.assert_array_equal(image, RGB)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


@pytest.mark.parametrize(
    "given",
    [
        GREY,
        GREY[:, :, None],
        GREY[None, :, :, None],
        torch.from_numpy(GREY),
        torch.from_numpy(GREY)[None],
        torch.from_numpy(GREY)[None, None],
        PIL.Image.fromarray(GREY),
        PIL.Image.fromarray(GREY.astype(np.int32)),
        PIL.Image.fromarray(GREY.astype(np.float32)),
    ],
    ids=["HW", "HW1", "BHW1", "tensor HW", "1HW", "B1HW", "PIL L", "PIL I", "PIL F"],
)
def test_grey_becomes_three_equal_channels(given):
    np.testing.assert_array_equal(only(given), np.dstack([GREY] * 3))


def test_the_colour_format_can_be_said():
    np.testing.assert_array_equal(only(RGB, "rgb"), RGB)
    np.testing.assert_array_equal(only(torch.from_numpy(BGR.transpose(2, 0, 1).copy()), "bgr"), RGB)
    with pytest.raises(InputInvalid, match="'bgr' or 'rgb', found 'RGB'"):
        as_rgb_images(RGB, "RGB")


def test_the_colour_format_does_not_touch_files_and_pil():
    np.testing.assert_array_equal(only(PNG, "bgr"), RGB)
    np.testing.assert_array_equal(only(PIL.Image.fromarray(RGB), "bgr"), RGB)


def test_a_list_may_mix_everything_and_keeps_its_order(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)

    images = as_rgb_images([BGR, str(path), path, PNG, CHW, np.stack([BGR, BGR]), [PIL.Image.fromarray(RGB), GREY]])

    assert len(images) == 9
    for image in images[:8]:
        np.testing.assert_array_equal(image, RGB)
    np.testing.assert_array_equal(images[8], np.dstack([GREY] * 3))


def test_booleans_are_black_and_white():
    assert only(GREY > 128).max() == 255


def test_bfloat16_is_taken_although_numpy_has_none():
    bright = torch.full((3, 4, 4), 0.5, dtype=torch.bfloat16)

    assert (only(bright) == 128).all()


def test_the_range_of_a_float_batch_is_that_of_the_whole_batch():
    batch = np.zeros((2, 4, 4, 3), np.float32)
    batch[0], batch[1] = 1.0, 200.0

    dark, bright = as_rgb_images(batch)

    assert (dark.max(), bright.max()) == (1, 200)


def test_floats_of_zero_to_one_are_not_taken_for_almost_black_bytes():
    """The peer library divides such a picture by 255 once more (its defect 7)."""
    np.testing.assert_array_equal(only(BGR.astype(np.float32) / 255), only(BGR))


@pytest.mark.parametrize("greatest", [1.0000002, 1.003, 1.5, 2.0])
@pytest.mark.parametrize("as_given", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_floats_a_little_above_one_are_refused_with_what_to_do(greatest, as_given):
    picture = np.full((3, 3, 3), 0.5)
    picture[1, 1, 1] = greatest

    with pytest.raises(InputInvalid, match=r"expected 0 to 1 or 0 to 255: clip them"):
        as_rgb_images(as_given(picture))


def test_two_ranges_of_floats_in_one_call_are_refused_and_black_is_in_both():
    whole, share = BGR.astype(np.float32), BGR.astype(np.float32) / 255
    black = np.zeros_like(share)

    for images in ([whole, share], [share, CHW.float()], [[share], whole]):
        with pytest.raises(InputInvalid, match="in one call"):
            as_rgb_images(images)
    assert len(as_rgb_images([black, share, black, BGR])) == 4
    assert len(as_rgb_images([black, whole, black, BGR])) == 4


@pytest.mark.parametrize(
    "wide",
    [
        np.full((4, 4, 3), 60_000, np.uint16),
        np.full((4, 4), 200, ">u2"),
        torch.full((3, 4, 4), 200, dtype=torch.uint16),
        PIL.Image.fromarray(np.full((4, 4), 60_000, np.uint16)),
        PIL.Image.fromarray(np.full((4, 4), 200, np.uint16)),
    ],
    ids=["bright", "dark big-endian", "tensor", "PIL", "PIL dark"],
)
def test_sixteen_bits_a_sample_are_refused_however_dark_they_are(wide):
    with pytest.raises(InputInvalid, match=r"16-bit samples.*array / 257"):
        as_rgb_images(wide)


def test_alpha_is_left_out_and_nothing_is_blended():
    clear = np.dstack([BGR, np.zeros_like(GREY)])

    np.testing.assert_array_equal(only(clear), RGB)
    np.testing.assert_array_equal(only(PIL.Image.fromarray(np.dstack([RGB, np.zeros_like(GREY)]))), RGB)


def test_a_tensors_layout_in_an_array_is_refused_with_a_hint():
    with pytest.raises(InputInvalid, match="channels come last"):
        as_rgb_images(np.zeros((3, 480, 640), np.uint8))
    with pytest.raises(InputInvalid, match="channels come first"):
        as_rgb_images(torch.zeros(480, 640, 3))


def test_a_list_that_holds_itself_is_refused():
    loop = [BGR]
    loop.append(loop)

    with pytest.raises(InputInvalid, match="deep"):
        as_rgb_images(loop)


def test_a_masked_array_is_taken_as_its_data():
    masked = np.ma.masked_array(BGR.astype(np.float32), mask=True)

    np.testing.assert_array_equal(only(masked), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pil_image_is_turned_upright_as_the_same_file_is(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    smooth = np.add.outer(np.arange(0, 160, 10), np.arange(0, 96, 4)).astype(np.uint8)
    PIL.Image.fromarray(np.dstack([smooth, smooth // 2, 255 - smooth])).save(buffer, "JPEG", exif=exif, quality=95)

    with PIL.Image.open(buffer) as opened:
        upright = only(opened)

    expected = only(buffer.getvalue())
    assert upright.shape == expected.shape
    assert np.abs(upright.astype(int) - expected.astype(int)).max() <= 4  # two decoders of one JPEG


def test_a_pil_image_of_a_damaged_file_is_our_error():
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.tile(RGB, (40, 40, 1))).save(buffer, "JPEG")
    with (
        PIL.Image.open(io.BytesIO(buffer.getvalue()[: len(buffer.getvalue()) // 2])) as opened,
        pytest.raises(EngineError),
    ):
        as_rgb_images(opened)


@pytest.mark.parametrize(
    "given",
    [
        None, 3, 2.5, object(), {}, iter([]), [], (), [[]], [BGR, None], [[1, 2], [3, 4]],
        np.float32(1), np.zeros(()), np.zeros(4), np.zeros((4, 4, 2)), np.zeros((3, 4, 5)), np.zeros((0, 4, 3)),
        np.zeros((0, 4, 4, 3)), np.zeros((2, 0, 4, 3)), np.zeros((1, 1, 4, 4, 3)), np.full((4, 4, 3), np.nan),
        np.full((4, 4, 3), np.inf), np.full((4, 4, 3), -1.0), np.full((4, 4, 3), 256.0), np.full((4, 4, 3), 70_000),
        np.full((4, 4, 3), -1, np.int16), np.zeros((4, 4, 3), complex), np.zeros((4, 4, 3), object),
        np.full((4, 4, 3), "x"), np.zeros((4, 4), "datetime64[s]"), torch.zeros(4), torch.zeros(5, 4, 3),
        torch.zeros(0, 3, 4, 4), torch.zeros(3, 0, 4), torch.zeros(3, 4, 4, dtype=torch.complex64),
        torch.zeros(3, 4, 4, device="meta"), torch.zeros(3, 4, 4).to_sparse(), torch.full((3, 4, 4), torch.nan),
        "", "no/such/file.png", "null\0byte.png", "x" * 5000, ".",
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:20]!r}",
)  # fmt: skip
def test_what_is_no_image_is_refused(given):
    with pytest.raises(InputInvalid) as raised:
        as_rgb_images(given)

    assert str(raised.value)


@pytest.mark.parametrize("data", [b"", b"no picture", PNG[:40]], ids=["empty", "text", "cut"])
def test_bytes_that_are_no_picture_are_unreadable_and_a_file_is_named(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)

    with pytest.raises(ImageUnreadable):
        as_rgb_images(data)
    with pytest.raises(ImageUnreadable, match=r"a\.png"):
        as_rgb_images(path)


numbers = st.one_of(hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(), hnp.boolean_dtypes())
others = st.one_of(hnp.complex_number_dtypes(), hnp.unicode_string_dtypes(), hnp.datetime64_dtypes())
arrays = hnp.arrays(numbers | others, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5))


@settings(max_examples=400, deadline=None)
@given(arrays, st.sampled_from([None, "bgr", "rgb"]))
def test_any_array_gives_rgb_images_or_our_own_error(array, color_format):
    try:
        images = as_rgb_images(array, color_format)
    except InputInvalid:
        return
    assert images
    for image in images:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert image.size


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 5), max_size=5),
    st.sampled_from(["uint8", "int64", "float16", "bfloat16", "float32", "bool", "complex64"]),
)
def test_any_tensor_gives_rgb_images_or_our_own_error(shape, dtype):
    try:
        images = as_rgb_images(torch.zeros(shape, dtype=getattr(torch, dtype)))
    except InputInvalid:
        return
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in images)
