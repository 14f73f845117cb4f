import pytest

from jobstore import quarantine
from jobstore.schema import QuarantinedMessage
from tests.fixtures.jobs import ALICE


def row(number: int) -> QuarantinedMessage:
    return QuarantinedMessage("infer.cpu", "message_not_json", f"no {number}", "\\x00", 7, ALICE)


def test_what_was_set_aside_is_listed_newest_first(store):
    for number in range(3):
        store.fleet.quarantine(row(number))

    found = store.fleet.quarantined(2)

    assert [entry.message for entry in found] == ["no 2", "no 1"]
    assert found[0].created is not None
    assert (found[0].queue, found[0].size_bytes, found[0].worker_id) == ("infer.cpu", 7, ALICE)


def test_a_flood_leaves_only_the_newest(store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quarantine, "KEPT", 5)

    for number in range(12):
        store.fleet.quarantine(row(number))

    assert [entry.message for entry in store.fleet.quarantined(100)] == [f"no {number}" for number in range(11, 6, -1)]
