import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff import DEFAULT_LIMITS, sniff

MARKS = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0\x08\0\0\0",
    b"RIFF\x20\0\0\0WEBPVP8X",
    b"RIFF\x20\0\0\0WEBPVP8L",
    b"\0\0\0\x18ftypavif\0\0\0\0avifmif1",
    b"\0\0\0\x18ftypheic",
    b"",
]
RELAXED = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def sniff_or_refuse(data):
    try:
        header = sniff(data)
    except ImageUnreadable:
        return
    assert 1 <= header.width <= DEFAULT_LIMITS.max_side
    assert 1 <= header.height <= DEFAULT_LIMITS.max_side
    assert header.pixels <= DEFAULT_LIMITS.max_pixels


@RELAXED
@given(mark=st.sampled_from(MARKS), rest=st.binary(max_size=300))
def test_any_bytes_after_any_mark_give_a_header_or_a_typed_refusal(mark, rest):
    sniff_or_refuse(mark + rest)


@RELAXED
@given(data=st.data())
def test_a_picture_with_changed_bytes_gives_a_header_or_a_typed_refusal(pictures, data):
    picture = bytearray(pictures[data.draw(st.sampled_from(sorted(pictures)))])
    for at in data.draw(st.lists(st.integers(0, min(len(picture) - 1, 400)), max_size=8)):
        picture[at] = data.draw(st.integers(0, 255))
    sniff_or_refuse(bytes(picture))


@RELAXED
@given(data=st.data())
def test_a_picture_cut_and_spliced_gives_a_header_or_a_typed_refusal(pictures, data):
    picture = pictures[data.draw(st.sampled_from(sorted(pictures)))]
    cut = data.draw(st.integers(0, len(picture)))
    sniff_or_refuse(picture[:cut] + data.draw(st.binary(max_size=40)) + picture[cut + data.draw(st.integers(0, 60)) :])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 2_000_000,
        b"\xff\xd8" + b"\xff" * 8_000_000,
        b"\xff\xd8" + b"\xff\x00" * 4_000_000,
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0"
        + b"\0" * 4
        + b"\0\0\0\0tEXt\0\0\0\0" * 600_000,
        b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + b"\0\0\0\x08free" * 1_000_000,
        b"GIF89a\x01\0\x01\0\0\0\0" + b"!\xfe" + b"\x01a" * 4_000_000,
        b"GIF89a\x01\0\x01\0\0\0\0" + b"!\xfe\0" * 2_000_000,
        b"<" * 8_000_000,
    ],
    ids=[
        "jpeg segments",
        "jpeg fill bytes",
        "jpeg stuffing",
        "png chunks",
        "avif boxes",
        "gif blocks",
        "gif comments",
        "text",
    ],
)
@pytest.mark.timeout(60)  # they take 0.12 s; walked byte by byte they would take hours
def test_megabytes_made_to_be_walked_slowly_are_refused(data):
    with pytest.raises(ImageUnreadable):
        sniff(data)
