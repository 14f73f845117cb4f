"""`python3 dev.py mutants`: break the code in twenty ways that cost work or safety; the tests must notice each.

A mutant is applied to a copy of the tree, never to the tree itself. It is caught when one of its tests fails there as a
test does; one that cannot even be collected proves nothing, and neither does one that fails without the mutant.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.system import ROOT

#: What a copy needs to run any test of the table.
COPIED = (
    "drawing",
    "fetching",
    "inference_engine",
    "jobstore",
    "migrations",
    "models",
    "nightshift",
    "producer",
    "tests",
    "videos",
    "workers",
)
#: pytest's exit status where tests ran and some failed.
TESTS_FAILED = 1


@dataclass(frozen=True)
class Mutant:
    """One way to break the code.

    Attributes:
        file: of the source, from the root.
        old, new: the text, which stands there once, and what takes its place.
        tests: of which at least one must fail.
    """

    name: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_STORE = "tests/contract/jobstore"
MUTANTS = (
    Mutant(
        "M1", "a finish without the fence",
        "jobstore/recording.py", "update(shards).where(*are_held(leases))",
        "update(shards).where(shards.c.id.in_([lease.shard_id for lease in leases]))",
        (f"{_STORE}/test_leases.py::test_the_zombies_late_flush_is_refused",),
    ),
    Mutant(
        "M2", "the reaper does not look again at the lease it takes",
        "jobstore/relay_statements.py", "shards.c.state == ShardState.LEASED, shards.c.lease_until < db_now())",
        "shards.c.state == ShardState.LEASED)",
        (f"{_STORE}/test_relay.py::test_a_lease_that_runs_is_left_alone",),
    ),
    Mutant(
        "M3", "a heartbeat without the fence",
        "jobstore/leases.py",
        ".where(shards.c.owner == owner, shards.c.state == ShardState.LEASED)\n        .values(lease_until",
        ".values(lease_until",
        (f"{_STORE}/test_leases.py::test_renewing_says_what_is_still_ours",),
    ),
    Mutant(
        "M4", "hints go out that SQL does not know of",
        "jobstore/window.py", ".values(state=ShardState.QUEUED, enqueued_at=db_now())", ".values(enqueued_at=db_now())",
        (f"{_STORE}/test_window.py::test_no_more_than_a_window_is_released",),
    ),
    Mutant(
        "M5", "nobody sends a lost hint again",
        "workers/relay.py", "lost = self.store.relay.requeue_lost(empty, self.resend_after_s)", "lost = 0",
        ("tests/integration/test_relay.py::test_a_hint_that_a_dying_worker_took_along_is_sent_again",),
    ),
    Mutant(
        "M6", "outcomes without a primary key",
        "jobstore/tables.py", '    PrimaryKeyConstraint("job_id", "idx", "frame"),\n', "",
        ("tests/migrations/test_migrations.py::test_a_migrated_database_has_the_same_constraints_as_a_created_one",),
    ),
    Mutant(
        "M7", "a lease without an end: who acknowledged and died keeps his shard",
        "jobstore/leases.py", "leased_at=db_now(), lease_until=db_now() + lease_s)",
        "leased_at=db_now(), lease_until=None)",
        (f"{_STORE}/test_relay.py::test_an_expired_lease_is_pending_again_with_the_next_attempt",),
    ),
    Mutant(
        "M8", "an export is written in its place",
        "producer/exports/atomic.py",
        """        part = _part_of(path)
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)
""",
        """        with path.open("wb") as file:
            yield file
""",
        ("tests/contract/exports/test_every_format.py::test_rows_that_end_in_an_error_leave_nothing",),
    ),
    Mutant(
        "M9", "a lock that outlives its process",
        "inference_engine/cache/packages.py", "from filelock import FileLock, Timeout",
        """from filelock import SoftFileLock, Timeout


class FileLock(SoftFileLock):
    def _try_break_stale_lock(self):
        pass
""",
        ("tests/unit/engine/test_package_cache.py::test_a_lock_that_a_killed_process_held_keeps_nobody_out",),
    ),
    Mutant(
        "M10", "attempts of a shard are taken for deaths",
        "jobstore/relay_statements.py", "if shard.deaths >= max_deaths:", "if shard.attempt > max_deaths:",
        (f"{_STORE}/test_relay.py::test_a_shard_that_was_given_back_often_has_lost_nobody",),
    ),
    Mutant(
        "M11", "only the first address of a download is checked",
        "inference_engine/transport.py",
        'event_hooks={"request": [lambda request: check_url(str(request.url), limits)]},', "",
        ("tests/unit/engine/test_downloads.py::test_a_redirect_to_an_address_that_is_not_allowed_is_refused",),
    ),
    Mutant(
        "M12", "declared hashes are not checked before a package is opened",
        "inference_engine/package_files.py", "if found.get(name) != expected:", "if name not in found:",
        ("tests/unit/engine/test_packages.py",),
    ),
    Mutant(
        "M13", "pictures reach the decoder without a look at their header",
        "inference_engine/sniff/header.py",
        "    if header.pixels > n_bytes * pixels_per_byte:",
        "    if header.pixels > n_bytes * pixels_per_byte * 10**9:",
        ("tests/unit/media/test_sniff.py::test_a_jpeg_that_claims_more_pixels_than_its_bytes_can_code_is_a_bomb",),
    ),
    Mutant(
        "M14", "pictures of any size are decoded",
        "inference_engine/sniff/header.py", "if header.pixels > limits.max_pixels:", "if header.pixels > 10**12:",
        ("tests/unit/media/test_sniff.py::test_more_pixels_than_the_limit_are_too_large",),
    ),
    Mutant(
        "M15", "of a host's addresses only the first is checked",
        "fetching/connecting.py", "for address in addresses:", "for address in addresses[:1]:",
        ("tests/unit/fetching/test_bad_servers.py::test_a_name_that_leads_inside_is_denied_and_nothing_is_connected_to",),
    ),
    Mutant(
        "M16", "where a redirect leads is not checked",
        "fetching/http.py", "checked = self._policy.check_web(following)", "checked = httpx.URL(following)",
        ("tests/unit/fetching/test_bad_servers.py::test_a_bad_answer_is_an_error_of_the_right_class",),
    ),
    Mutant(
        "M17", "a part of a draft that comes again is added again",
        "jobstore/drafts.py", "    if known is not None:\n        return int(known)\n", "",
        (f"{_STORE}/test_drafts.py::test_a_part_that_comes_twice_is_added_once",),
    ),
    Mutant(
        "M18", "what waited for its model stays held when its class is tried again",
        "jobstore/retrying.py", "        unhold_class(db, job_id, hardware)\n", "        pass\n",
        (f"{_STORE}/test_openings.py::test_a_retry_on_the_class_of_a_model_that_is_away_tries_what_waited_for_it",),
    ),
    Mutant(
        "M19", "a shard is given up though its job has ended",
        "jobstore/relay_statements.py", "        begun = _still_due(db, begun)\n", "",
        (f"{_STORE}/test_openings.py::test_a_shard_that_is_given_up_while_its_job_fails_over_another_is_counted_once",),
    ),
    Mutant(
        "M20", "nobody makes room for what is more urgent",
        "jobstore/leases.py", "stopped | outranked(sorted(ranked), _more_urgent(db, ranked))", "stopped",
        (f"{_STORE}/test_steering.py::test_a_worker_makes_room_for_what_is_more_urgent_as_much_as_it_needs",),
    ),
)  # fmt: skip


def mutated(source: str, mutant: Mutant) -> str:
    """The source with the mutant in it.

    Raises:
        ValueError: its text does not stand there exactly once.
    """
    if (count := source.count(mutant.old)) != 1:
        raise ValueError(f"{mutant.name}: {mutant.old!r} stands {count} times in {mutant.file}, expected once")
    return source.replace(mutant.old, mutant.new)


def copy_tree(target: Path) -> None:
    """What the tests need, without byte code."""
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.glob("*.*"):
        if file.is_file():
            shutil.copy2(file, target)


def run_tests(tree: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, with the copy's packages first on the path."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def is_caught(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a test failed, rather than could not be run."""
    return done.returncode == TESTS_FAILED and any(line.startswith("FAILED ") for line in done.stdout.splitlines())


def main() -> int:
    """0 where every mutant is caught."""
    parser = argparse.ArgumentParser(prog="dev.py mutants", description=__doc__)
    parser.add_argument("--only", default="", help="names, separated by commas")
    wanted = {name for name in parser.parse_args().only.split(",") if name}
    chosen = [mutant for mutant in MUTANTS if not wanted or mutant.name in wanted]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        clean = run_tests(tree, sorted({test for mutant in chosen for test in mutant.tests}))
        if clean.returncode:
            print(f"the tests do not pass without a mutant:\n{clean.stdout[-3000:]}{clean.stderr[-3000:]}")
            return 1
        caught = sum(_try(tree, mutant) for mutant in chosen)
    print(f"caught {caught}/{len(chosen)}")
    return 0 if caught == len(chosen) else 1


def _try(tree: Path, mutant: Mutant) -> bool:
    file = tree / mutant.file
    source = file.read_text(encoding="utf-8")
    file.write_text(mutated(source, mutant), encoding="utf-8")
    try:
        done = run_tests(tree, mutant.tests)
    finally:
        file.write_text(source, encoding="utf-8")
    verdict = is_caught(done)
    print(f"{mutant.name:<4} {'caught' if verdict else 'MISSED':<7} {mutant.what}  ({mutant.file})", flush=True)
    if not verdict:
        print(done.stdout[-1500:], done.stderr[-500:])
    return verdict


if __name__ == "__main__":
    sys.exit(main())
