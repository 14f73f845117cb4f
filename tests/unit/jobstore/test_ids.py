import uuid

from jobstore.ids import new_id


def test_an_id_is_a_uuid_of_version_7():
    parsed = uuid.UUID(new_id())

    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_the_first_48_bits_are_milliseconds_since_the_epoch():
    # The example of RFC 9562, appendix A.6: 2022-02-22T19:22:22Z.
    assert new_id(now_ns=0x017F22E279B0 * 1_000_000).startswith("017f22e2-79b0-7000-")


def test_ids_sort_by_birth_also_within_a_millisecond():
    born = [1_700_000_000_000_000_000 + step for step in (0, 1_000, 500_000, 999_000, 1_000_000)]

    ids = [new_id(now_ns=moment, entropy=b"\xff" * 8) for moment in born]

    assert ids == sorted(ids)
    assert len(set(ids)) == 5


def test_a_thousand_ids_of_one_moment_differ():
    assert len({new_id(now_ns=1) for _ in range(1000)}) == 1000
