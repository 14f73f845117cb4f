"""Exports that are killed in the middle, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal

from tests.contract.exports.conftest import write

#: Forks each process from one that has imported what an export needs: that takes a hundred times as long as the export.
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload([__name__])


def killed_export(name, exported, dest, where, left):
    """Export in a process that kills itself, and give its exit code.

    Args:
        exported: job, rows and decisions.
        where: `row`, or the name of the function of `os` whose first call kills it.
        left: rows that are read before.
    """
    process = _FORKING.Process(target=_export, args=(name, exported, dest, where, left))
    process.start()
    process.join()
    status = process.exitcode
    process.close()
    return status


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def _export(name, exported, dest, where, left):
    job, rows, decisions = exported
    read = 0

    def rows_until_death():
        nonlocal read
        for row in rows:
            read += 1
            if where == "row" and read > left:
                _die()
            yield row

    def dying(call):
        def before(*arguments):
            if where == call.__name__:
                _die()
            return call(*arguments)

        return before

    os.fsync, os.replace, os.rename = dying(os.fsync), dying(os.replace), dying(os.rename)
    write(name, job, rows_until_death, decisions, dest)
