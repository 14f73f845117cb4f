import struct
import subprocess
import sys

import numpy as np
import pytest

from inference_engine.decoding import decode_image
from inference_engine.errors import ImageUnreadable
from inference_engine.opencv import import_cv2
from inference_engine.sniff import FORMATS, ImageLimits

LEFT_RED = np.zeros((40, 80, 3), np.uint8)
LEFT_RED[:, :40] = (255, 0, 0)


def with_exif_orientation(jpeg, value):
    ifd = struct.pack("<HHHII", 1, 0x0112, 3, 1, value) + b"\0" * 4
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0" + ifd
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_decodes_to_rgb(encode, name):
    image = decode_image(encode(name, rgb=LEFT_RED))

    assert image.shape == (40, 80, 3)
    assert image.dtype == np.uint8
    assert image[20, 10, 0] > 200
    assert image[20, 10, 2] < 60


def test_exif_orientation_is_applied(encode):
    image = decode_image(with_exif_orientation(encode("jpeg", rgb=LEFT_RED), 6))

    assert image.shape == (80, 40, 3)
    assert image[10, 20, 0] > 200
    assert image[70, 20, 0] < 60


def test_grey_becomes_three_equal_channels():
    _, data = import_cv2().imencode(".png", np.full((4, 6), 77, np.uint8))

    assert (decode_image(data.tobytes()) == 77).all()


def test_16_bits_keep_their_upper_8():
    _, data = import_cv2().imencode(".png", np.full((4, 6), 0x8000, np.uint16))

    assert (decode_image(data.tobytes()) == 0x80).all()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_picture_cut_off_is_truncated(encode, name, share):
    data = encode(name, (96, 128))

    with pytest.raises(ImageUnreadable) as caught:
        decode_image(data[: int(len(data) * share)])

    assert caught.value.reason == "image_truncated"


def test_a_png_with_a_broken_checksum_is_corrupt(pictures):
    data = bytearray(pictures["png"])
    data[data.index(b"IDAT") + 10] ^= 0xFF

    with pytest.raises(ImageUnreadable) as caught:
        decode_image(bytes(data))

    assert caught.value.reason == "image_corrupt"


def test_callers_limits_are_kept(pictures):
    with pytest.raises(ImageUnreadable) as caught:
        decode_image(pictures["webp"], ImageLimits(max_pixels=100))

    assert caught.value.reason == "image_too_large"


def test_an_opencv_that_cannot_give_rgb_itself_gives_the_same_picture(encode, monkeypatch):
    data = encode("png", rgb=LEFT_RED)
    expected = decode_image(data)
    monkeypatch.delattr(import_cv2(), "IMREAD_COLOR_RGB")

    assert (decode_image(data) == expected).all()


def test_opencv_runs_one_thread():
    # In a process of its own: another test may have imported OpenCV without us.
    code = "from inference_engine.opencv import import_cv2; print(import_cv2().getNumThreads())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
