"""The commands of judgement on real jobs: pages of digits with a known truth, labelled by the starter model."""

from __future__ import annotations

import json
import os
import shutil

import cv2
import pytest

from nightshift.demo import make_pages
from tests.fixtures.cli import nightshift

PAGES = 6


class Jobs:
    """Two jobs over the same pages, the second with a lower threshold."""

    def __init__(self, folder):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTSHIFT_")}
        self.folder = folder
        self.environment = {**kept, "NIGHTSHIFT_DATA_DIR": str(folder / "data"), "OMP_NUM_THREADS": "1"}
        self.truth = make_pages(folder / "pages", PAGES)
        self.sure, self.doubtful = (self._run(threshold) for threshold in ("0.5", "0.1"))

    def _run(self, threshold):
        pages = str(self.folder / "pages")
        report = self.json("run", pages, "-m", "digits", "--backend", "onnx", "--quantization", "fp32",
                           "--conf", threshold, "--name", "pages")  # fmt: skip
        assert report["ok"] == PAGES
        return report["job_id"]

    def ask(self, *arguments):
        return nightshift(self.environment, *arguments)

    def json(self, *arguments, status=0):
        code, out, err = self.ask(*arguments, "--json")
        assert code == status, err
        return json.loads(out)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    return Jobs(tmp_path_factory.mktemp("judged"))


def test_eval_judges_a_job_and_writes_its_report(jobs, tmp_path):
    found = jobs.json("eval", jobs.doubtful, "--truth", str(jobs.truth), "-o", str(tmp_path / "report"))

    assert (found["images"], found["missing"], found["unknown_to_truth"]) == (PAGES, [], {})
    assert found["kinds"][0]["ap50"] > 0.9
    assert found["kinds"][0]["ap"] > 0.6
    assert json.loads((tmp_path / "report/report.json").read_text())["kinds"] == found["kinds"]
    code, out, _ = jobs.ask("eval", jobs.doubtful, "--truth", str(jobs.truth))
    assert (code, out.split()[0]) == (0, "boxes")


def test_eval_without_the_files_pictures_says_which(jobs, tmp_path):
    truth = json.loads(jobs.truth.read_text())
    truth["images"].append({"id": 999, "file_name": "nowhere.png"})
    (tmp_path / "truth.json").write_text(json.dumps(truth))

    code, out, err = jobs.ask("eval", jobs.sure, "--truth", str(tmp_path / "truth.json"))

    assert (code, out) == (1, "")
    assert "no outcome for 1 of 7 pictures" in err
    assert "nowhere.png" in err


def test_compare_of_a_job_with_itself_finds_nothing_and_with_another_what_is_new(jobs, tmp_path):
    same = jobs.json("compare", jobs.sure, jobs.sure)
    other = jobs.json("compare", jobs.sure, jobs.doubtful, "-o", str(tmp_path / "report"))

    assert (same["same"], same["disagreement"], same["worst"]) == (PAGES, 0.0, [])
    assert other["counts"]["matched"] == same["counts"]["matched"]
    assert (other["counts"]["missing"], other["counts"]["flipped"]) == (0, 0)
    assert other["a"]["params"] == {"confidence": 0.5}
    assert len(list((tmp_path / "report").rglob("*.jpg"))) == len(other["worst"])


def test_review_ranks_and_gates_compare_with_the_run_before(jobs, tmp_path):
    review = jobs.json("review", jobs.doubtful, "-n", "2", "-o", str(tmp_path / "review"))
    gates = jobs.json("gates", jobs.doubtful, "--min-images", "1", "--speed-share", "0")

    assert (review["measure"], review["images"]) == ("margin", PAGES)
    assert 0 < review["items"][0]["doubt"] == max(item["doubt"] for item in review["items"])
    assert len(json.loads((tmp_path / "review/label-studio.json").read_text())) == len(review["items"]) <= 2
    assert (gates["passed"], gates["compared_with"]) == (True, [jobs.sure])
    strict = jobs.json("gates", jobs.doubtful, "--min-images", "1", "--objects-change", "0", status=1)
    assert next(each["gate"] for each in strict["findings"] if not each["passed"]) == "objects_per_image"


def test_a_replay_gives_the_same_bits_and_names_inputs_that_changed(jobs, tmp_path):
    jobs.ask("capsule", jobs.sure, "-o", str(tmp_path / "capsule.json"))
    pages = sorted((jobs.folder / "pages").glob("*.jpg"))
    shutil.copy(pages[0], tmp_path / "kept.jpg")
    cv2.imwrite(str(pages[0]), cv2.imread(str(pages[0]))[::-1])
    try:
        report = jobs.json("replay", str(tmp_path / "capsule.json"), "--verify", "--limit", "3")
    finally:
        shutil.copy(tmp_path / "kept.jpg", pages[0])

    assert (report["verdict"], report["passed"], report["run"], report["same"]) == ("same", True, 2, 2)
    assert (report["changed"], report["gone"], report["circumstances"]) == ([str(pages[0])], [], [])
