"""Runs in several processes: what belongs together runs in one of them."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = ("acceptance/test_b.py", "faults/test_c.py", "faults/test_d.py", "unit/test_e.py", "unit/test_f.py")
MANY = "import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_it(n): pass\n"


def test_the_faults_and_files_of_dear_fixtures_stay_in_one_process_and_others_spread(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.fixtures.spreading"]')
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p xdist.plugin --import-mode=importlib\n")
    for place in PLACES:
        path = tmp_path / "tests" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MANY)

    command = [sys.executable, "-m", "pytest", "-v", "-n", "3", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    processes = defaultdict(set)
    for process, path in re.findall(r"\[(gw\d)\].* PASSED tests/(\S+)::", done.stdout):
        processes[path].add(process)
    assert {place: len(found) for place, found in processes.items() if len(found) == 1}.keys() == set(PLACES[1:])
    assert processes["faults/test_c.py"] == processes["faults/test_d.py"]
    assert len(processes["acceptance/test_b.py"]) > 1  # the first three processes get one each
