import struct

import numpy as np
import pytest

from inference_engine.errors import ImageUnreadable
from inference_engine.opencv import import_cv2
from inference_engine.sniff import FORMATS, ImageLimits, sniff


def refusal(data, limits=None):
    with pytest.raises(ImageUnreadable) as caught:
        sniff(data) if limits is None else sniff(data, limits)
    return caught.value


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_that_is_read_is_recognised_with_its_size(pictures, name):
    header = sniff(pictures[name])

    assert (header.format, header.width, header.height) == (name, 64, 48)


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_cut_in_half_is_truncated(pictures, name):
    assert refusal(pictures[name][: len(pictures[name]) // 2]).reason == "image_truncated"


@pytest.mark.parametrize("name", FORMATS)
def test_a_few_bytes_of_a_format_are_truncated_and_not_unknown(pictures, name):
    start = 14 if name in {"webp", "avif"} else 4

    assert refusal(pictures[name][:start]).reason == "image_truncated"


def test_no_bytes_are_an_empty_image():
    assert refusal(b"").reason == "image_empty"


def test_a_chunk_length_past_the_end_of_a_png_is_truncated(long_chunk_png):
    assert len(long_chunk_png) == 61
    assert refusal(long_chunk_png).reason == "image_truncated"


def test_a_small_jpeg_that_claims_900_megapixels_is_too_large(lying_jpeg):
    assert refusal(lying_jpeg).reason == "image_too_large"


def test_a_jpeg_that_claims_more_pixels_than_its_bytes_can_code_is_a_bomb(encode, resize_jpeg):
    assert refusal(resize_jpeg(encode("jpeg", (8, 8)), 7000, 7000)).reason == "image_bomb"


def test_a_blank_jpeg_is_no_bomb(encode):
    assert sniff(encode("jpeg", rgb=np.zeros((4000, 4000, 3), np.uint8))).pixels == 16_000_000


def test_a_png_that_declares_more_than_deflate_can_hold_is_a_bomb(make_png):
    assert refusal(make_png(7000, 7000)).reason == "image_bomb"


def test_a_blank_png_is_no_bomb(make_png):
    assert sniff(make_png(6000, 6000, raw=b"\0" * (6000 * 751), bits=1)).bits == 1


def test_more_scans_than_any_encoder_writes_are_a_bomb(repeat_scans):
    assert refusal(repeat_scans(120)).reason == "image_bomb"


def test_a_usual_progressive_jpeg_is_read(repeat_scans):
    assert sniff(repeat_scans(1)).width == 64


def test_scans_count_more_the_larger_the_picture(repeat_scans):
    limits = ImageLimits(max_scan_pixels=64 * 64 * 20)

    assert refusal(repeat_scans(30), limits).reason == "image_bomb"


def test_more_pixels_than_the_limit_are_too_large(pictures):
    assert refusal(pictures["jpeg"], ImageLimits(max_pixels=64 * 48 - 1)).reason == "image_too_large"


def test_a_longer_side_than_the_limit_is_too_large(pictures):
    assert refusal(pictures["png"], ImageLimits(max_side=63)).reason == "image_too_large"


def test_a_side_of_zero_is_named(make_png):
    assert refusal(make_png(0, 10)).reason == "image_zero_size"


def test_a_line_of_twenty_thousand_pixels_is_a_picture(encode):
    assert sniff(encode("png", (1, 20_000))).width == 20_000


@pytest.mark.parametrize("bits", [12, 16])
def test_a_jpeg_of_more_than_8_bits_is_too_deep(pictures, bits):
    data = bytearray(pictures["jpeg"])
    data[data.index(b"\xff\xc0") + 4] = bits

    assert refusal(bytes(data)).reason == "unsupported_depth"


def test_a_float_tiff_is_too_deep():
    _, data = import_cv2().imencode(".tiff", np.zeros((4, 4), np.float32))

    assert refusal(data.tobytes()).reason == "unsupported_depth"


def test_a_16_bit_png_says_its_depth():
    _, data = import_cv2().imencode(".png", np.zeros((4, 4), np.uint16))

    assert sniff(data.tobytes()).bits == 16


def test_a_big_tiff_is_read():
    tags = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in ((256, 3), (257, 2), (258, 8)))
    data = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 3) + tags + b"\0" * 8

    assert (sniff(data).width, sniff(data).height) == (3, 2)


def test_a_tiff_with_a_huge_tile_is_a_bomb():
    tags = ((256, 16), (257, 16), (258, 8), (259, 5), (322, 65_520), (323, 65_520))
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)

    assert refusal(b"II*\0\x08\0\0\0" + body + b"\0" * 4).reason == "image_bomb"


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_after_the_end_do_no_harm(pictures, name):
    assert sniff(pictures[name] + b"<script>PK\x03\x04").width == 64


def test_a_thumbnail_of_another_size_in_a_segment_is_jumped_over(pictures, encode):
    inner = encode("jpeg", (8, 8))
    segment = b"\xff\xe1" + struct.pack(">H", len(inner) + 2) + inner

    assert sniff(pictures["jpeg"][:2] + segment + pictures["jpeg"][2:]).width == 64


def test_a_mark_hidden_in_a_segment_between_scans_hides_no_scan(repeat_scans):
    data = repeat_scans(120)
    comment = b"\xff\xfe\x00\x04\xff\xd9"
    at = data.index(b"\xff\xda")

    assert refusal(data[:at] + comment + data[at:]).reason == "image_bomb"


def patch_ispe(data, width, height):
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def test_the_code_stream_of_an_avif_is_believed_before_its_properties(pictures):
    header = sniff(patch_ispe(pictures["avif"], 8, 8))

    assert (header.width, header.height) == (64, 48)


def test_an_avif_that_declares_a_huge_picture_is_too_large(pictures):
    assert refusal(patch_ispe(pictures["avif"], 30_000, 30_000)).reason == "image_too_large"


@pytest.mark.parametrize("suffix", [".avif", ".webp", ".gif", ".png"])
def test_animations_are_read_as_their_first_picture(suffix):
    cv2 = import_cv2()
    animation = cv2.Animation()
    animation.frames = [np.full((48, 64, 4), shade, np.uint8) for shade in (10, 200)]
    animation.durations = np.array([100, 100])
    _, data = cv2.imencodeanimation(suffix, animation)

    assert (sniff(data.tobytes()).width, sniff(data.tobytes()).height) == (64, 48)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"\xff\x0a\xfa\x1f\x41", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS\0\x01", "Photoshop"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\0\0\x01\0\x01\0", "icon"),
        (b"P6\n2 2\n255\n", "PNM"),
        (b"v/1\x01\x02", "OpenEXR"),
        (b"#?RADIANCE\n", "Radiance"),
        (b"DDS \x7c", "DirectDraw"),
    ],
)
def test_a_picture_format_that_is_not_read_is_refused_by_name(data, name):
    error = refusal(data + b"\0" * 20)

    assert error.reason == "unsupported_format"
    assert name in str(error)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\xef\xbb\xbf  <html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "MP4"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "WAVE"),
        (b"PK\x03\x04\x14\0", "ZIP"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
        (b'{"error": 404}', "JSON"),
        (b"not found\n", "text"),
        (b"\x80\x04\x95\0\0", "80 04 95"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(data, name):
    error = refusal(data)

    assert error.reason == "not_an_image"
    assert name in str(error)


def test_a_hierarchical_jpeg_is_refused_by_name(pictures):
    error = refusal(pictures["jpeg"].replace(b"\xff\xc0", b"\xff\xc5", 1))

    assert error.reason == "unsupported_format"
    assert "hierarchical" in str(error)
