import subprocess
import sys

import pytest

# VmHWM is the highest resident size so far; the interpreter, numpy and OpenCV are in it before the bomb.
PROGRAM = """
import sys
from inference_engine.decoding import decode_image
from inference_engine.errors import ImageUnreadable
from inference_engine.opencv import import_cv2

def peak_kb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

import_cv2()
data = open(sys.argv[1], "rb").read()
before = peak_kb()
try:
    decode_image(data)
except ImageUnreadable as error:
    print(error.reason, peak_kb() - before)
"""


@pytest.fixture
def bombs(long_chunk_png, lying_jpeg, make_png, repeat_scans, encode, resize_jpeg):
    gif_head = b"GIF89a\x30\x75\x30\x75\x80\0\0\0\0\0\xff\xff\xff"
    return {
        "png chunk of 2 GB": long_chunk_png,
        "jpeg of 900 Mpx": lying_jpeg,
        "jpeg of 49 Mpx": resize_jpeg(encode("jpeg", (8, 8)), 7000, 7000),
        "png of 900 Mpx": make_png(30_000, 30_000, raw=b"\0" * 1_000_000, bits=1),
        "gif of 900 Mpx": gif_head + b",\0\0\0\0\x30\x75\x30\x75\0\x02\x02D\x01\0;",
        "jpeg of 300 scans": repeat_scans(300),
    }


@pytest.mark.parametrize(
    "name",
    ["png chunk of 2 GB", "jpeg of 900 Mpx", "jpeg of 49 Mpx", "png of 900 Mpx", "gif of 900 Mpx", "jpeg of 300 scans"],
)
def test_a_bomb_is_refused_below_100_megabytes(tmp_path, bombs, name):
    path = tmp_path / "bomb"
    path.write_bytes(bombs[name])

    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True, timeout=60)

    reason, grown_kb = done.stdout.split()
    assert reason in {"image_truncated", "image_too_large", "image_bomb"}
    assert int(grown_kb) < 100_000


def test_opencv_itself_is_told_the_limits_before_its_first_import():
    program = "import os; from inference_engine.opencv import import_cv2; import_cv2(); print(os.environ[%r])"
    name = "OPENCV_IO_MAX_IMAGE_PIXELS"

    done = subprocess.run(
        [sys.executable, "-c", program % name], capture_output=True, text=True, check=True, env={"PATH": ""}
    )

    assert done.stdout.strip() == "50000000"
