"""One process holds a data folder; the others find it, or take over when it is gone."""

from __future__ import annotations

import signal
import subprocess
import sys

from nightshift.claim import Claim
from nightshift.embedded import EmbeddedRedis


def test_the_second_claim_on_a_folder_is_refused(tmp_path):
    first, second = Claim(tmp_path), Claim(tmp_path)

    assert (first.take(), second.take()) == (True, False)
    first.release()


def test_a_claim_that_was_released_can_be_taken(tmp_path):
    first, second = Claim(tmp_path), Claim(tmp_path)
    first.take()
    first.release()

    assert second.take()
    second.release()


def test_whoever_announced_himself_is_found_while_his_redis_answers(tmp_path):
    claim = Claim(tmp_path)
    claim.take()
    with EmbeddedRedis() as redis:
        claim.announce(redis.socket_path, "cpu")
        found = Claim(tmp_path).resident()
        assert found is not None
        assert (found.broker_url, found.hardware) == (redis.url, "cpu")

    assert Claim(tmp_path).resident() is None
    claim.release()


def test_a_damaged_note_is_no_resident(tmp_path):
    (tmp_path / "embedded.json").write_text("{")

    assert Claim(tmp_path).resident() is None


def test_a_killed_owner_leaves_the_folder_free(tmp_path):
    source = (
        "import sys\nfrom pathlib import Path\nfrom nightshift.claim import Claim\n"
        f"claim = Claim(Path({str(tmp_path)!r}))\nprint(claim.take(), flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "True\n"
        mine = Claim(tmp_path)
        assert not mine.take()
        owner.send_signal(signal.SIGKILL)
        owner.wait()

    assert mine.take()
    mine.release()
