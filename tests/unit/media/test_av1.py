import pytest

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff import DEFAULT_LIMITS
from inference_engine.sniff.av1 import declared_sizes


def pack(*fields):
    """A sequence header unit with its size, from (value, bits) pairs."""
    text = "".join(f"{value:0{bits}b}" for value, bits in fields if bits)
    text += "0" * (-len(text) % 8)
    payload = int(text, 2).to_bytes(len(text) // 8, "big")
    return bytes([0b0000_1010, len(payload)]) + payload


def size_fields(width, height, width_bits, height_bits):
    return (width_bits - 1, 4), (height_bits - 1, 4), (width - 1, width_bits), (height - 1, height_bits)


STILL = ((0, 3), (1, 1), (1, 1), (8, 5))
PLAIN = ((0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (0, 5), (0, 12), (4, 5))
# Equal intervals, a decoder model of 10 bits, display delays, two operating points, the first on level 8.
FULL = (
    *((0, 3), (0, 1), (0, 1), (1, 1), (1, 64), (1, 1), (0b011, 3)),
    *((1, 1), (9, 5), (1, 32), (3, 5), (3, 5), (1, 1), (1, 5)),
    *((1, 12), (8, 5), (1, 1), (1, 1), (7, 10), (7, 10), (0, 1), (1, 1), (3, 4)),
    *((0, 12), (4, 5), (0, 1), (0, 1)),
)


@pytest.mark.parametrize("head", [STILL, PLAIN, FULL], ids=["still", "plain", "timing and operating points"])
def test_the_size_is_found_behind_every_form_of_header(head):
    data = b"\x12\0" + pack(*head, *size_fields(640, 480, 10, 9))

    assert list(declared_sizes(data, 0, DEFAULT_LIMITS)) == [(640, 480)]


def test_every_sequence_header_counts():
    data = pack(*STILL, *size_fields(8, 8, 4, 4)) + pack(*STILL, *size_fields(9000, 9000, 14, 14))

    assert list(declared_sizes(data, 0, DEFAULT_LIMITS)) == [(8, 8), (9000, 9000)]


def test_room_for_larger_frames_than_the_limit_is_a_bomb():
    with pytest.raises(ImageUnreadable, match="room for frames of 65536 x 65536"):
        list(declared_sizes(pack(*PLAIN, *size_fields(8, 8, 16, 16)), 0, DEFAULT_LIMITS))


def test_a_header_that_ends_too_early_is_corrupt():
    with pytest.raises(ImageUnreadable, match="ends too early"):
        list(declared_sizes(bytes([0b0000_1010, 1, 0]), 0, DEFAULT_LIMITS))


def test_no_place_in_the_file_gives_no_size():
    assert list(declared_sizes(b"abc", 1 << 60, DEFAULT_LIMITS)) == []
