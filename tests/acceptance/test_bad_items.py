"""One bad image costs one image."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from pathlib import Path

import psutil
import pytest

from jobstore.schema import JobState, OutcomeState
from producer.watching import watch
from tests.fixtures.fleet import DIGITS

pytestmark = pytest.mark.acceptance


def png_bomb() -> bytes:
    """61 bytes: a 16 x 16 picture whose second chunk claims 2^31 bytes; OpenCV asks for them before it reads."""
    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    ihdr = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + ihdr + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(20)


def jpeg_bomb() -> bytes:
    """631 bytes of JPEG that claim 30,000 x 30,000 pixels."""
    sof = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 30000, 30000, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])
    sos = b"\xff\xda" + struct.pack(">HB", 12, 3) + bytes([1, 0, 2, 0, 3, 0, 0, 63, 0])
    body = b"\xff\xd8" + sof + sos
    return body + bytes(631 - len(body) - 2) + b"\xff\xd9"


def spoil(files: list[Path]) -> dict[str, str]:
    """Five bad ones among the good: file name -> the code that it must end with."""
    whole = files[1].read_bytes()
    contents = {0: b"", 1: whole[: len(whole) // 2], 2: b"just some words\n" * 9, 3: jpeg_bomb()}
    for index, content in contents.items():
        files[index].unlink()
        files[index].write_bytes(content)
    files[4].unlink()
    return {
        str(files[0]): "image_empty",
        str(files[1]): "image_truncated",
        str(files[2]): "not_an_image",
        str(files[3]): "image_too_large",
        str(files[4]): "not_found",
    }


def test_of_200_images_5_corrupt_ones_fail_with_their_codes_and_195_are_labelled(fleet, photos) -> None:
    files = photos(200)
    expected = spoil(files)
    job_id = fleet.submit(files)
    fleet.start_workers()

    status = fleet.producer.wait(job_id, timeout_s=60)

    assert status.state is JobState.COMPLETED_WITH_ERRORS
    assert status.is_over_failure_limit
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == 195
    failed = {row.uri: row.error for row in fleet.store.results(job_id, states=[OutcomeState.FAILED])}
    assert {uri: error.code for uri, error in failed.items()} == expected
    assert all(len(error.message) > 10 for error in failed.values())


def test_bombs_fail_with_a_code_and_cost_the_worker_no_memory(fleet, photos) -> None:
    files = photos(60)
    launcher = fleet.start_workers()
    fleet.producer.wait(fleet.submit(files), timeout_s=60)
    before = psutil.Process(launcher.pids[0]).memory_info().rss
    for index, content in enumerate([png_bomb(), jpeg_bomb()] * 4):
        files[index].unlink()
        files[index].write_bytes(content)

    job_id = fleet.submit(files)
    peak = before
    for _ in watch(fleet.producer, job_id, interval_s=0.01):
        peak = max(peak, psutil.Process(launcher.pids[0]).memory_info().rss)

    status = fleet.store.status(job_id)
    assert (status.ok, status.failed) == (52, 8)
    assert peak - before < 400 * 2**20
    codes = Counter(row.error.code for row in fleet.store.results(job_id, states=[OutcomeState.FAILED]))
    assert codes == {"image_truncated": 4, "image_too_large": 4}


def test_a_job_whose_model_does_not_exist_fails_with_words_and_skips_its_items(fleet, photos) -> None:
    job_id = fleet.submit(photos(10), model=DIGITS.parent / "nothing-here")
    fleet.start_workers()

    status = fleet.producer.wait(job_id, timeout_s=60)

    assert (status.state, status.skipped) == (JobState.FAILED, 10)
    assert status.reason == "model_not_found"
    assert "nothing-here" in (status.message or "")


def test_a_job_with_a_parameter_out_of_range_fails_with_words(fleet, photos) -> None:
    job_id = fleet.submit(photos(10), params={"confidence": 7})
    fleet.start_workers()

    status = fleet.producer.wait(job_id, timeout_s=60)

    assert (status.state, status.reason) == (JobState.FAILED, "parameter_invalid")
    assert "confidence must be a number from 0 to 1, found 7" in (status.message or "")


def test_cancel_stops_a_running_job_and_skips_the_rest(fleet, photos) -> None:
    job_id = fleet.submit(photos(1500))
    fleet.start_workers()
    fleet.wait_for_some(job_id, 60)

    assert fleet.producer.cancel(job_id)

    status = fleet.assert_each_item_has_one_outcome(job_id)
    assert status.state is JobState.CANCELLED
    assert status.skipped > 0
