"""docs/first_hour.md, done by somebody who has nothing but the wheel: every line of it, and the buttons in a browser."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from nightshift.pages import write_pages
from tests.fixtures.installing import ROOT, Installation, install

pytestmark = [pytest.mark.acceptance, pytest.mark.browser]
PANLABEL = str(Path(sysconfig.get_path("scripts"), "panlabel"))
PHOTOS, NEW = 24, 3
PATIENCE_MS = 60_000
_SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(?:bash|python|yaml|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: Tells `noted` every text that the line above a job's bar shows, also after the page has loaded itself again.
WATCH = """addEventListener("DOMContentLoaded", () => {
  const part = document.querySelector(".live");
  const look = () => noted(part.querySelector(".lead").textContent.replace(/\\s+/g, " ").trim());
  if (part) { look(); new MutationObserver(look).observe(part, { childList: true, subtree: true }); }
})"""


def page_blocks() -> dict[str, list[str]]:
    """What the page has to type, by the heading above it."""
    text = (ROOT / "docs/first_hour.md").read_text(encoding="utf-8")
    return {heading: _BLOCK.findall(body) for heading, body in _SECTION.findall(text)}


@pytest.fixture
def stranger(wheel: Path, tmp_path: Path) -> Installation:
    """Somebody with `nightshift[server]`, a folder of pictures of which one is torn, and three new ones for tomorrow."""
    found = install(wheel, tmp_path, ["server"])
    pages = sorted(write_pages(found.home / "photos", PHOTOS, split="held_out", seed=31).parent.glob("*.jpg"))
    (found.home / "photos/truth.json").unlink()
    whole = pages[-1].rename(found.home / "whole.jpg")
    (found.home / "photos/torn.jpg").write_bytes(whole.read_bytes()[:3000])
    (found.home / "new").mkdir()
    for number, page in enumerate(sorted(write_pages(tmp_path / "more", NEW, seed=32).parent.glob("*.jpg"))):
        page.rename(found.home / f"new/evening_{number}.jpg")
    return found


@pytest.fixture
def up(stranger: Installation):
    """`nightshift up`, at a free port; gives its address and its token."""
    with stranger.start("nightshift", "up", "--port", "0", "--json") as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_stranger_gets_from_the_wheel_to_a_folder_that_labels_itself_every_night(stranger, up, browser):
    blocks, home = page_blocks(), stranger.home
    assert str(stranger.folder) in stranger.shell("command -v nightshift; python -c 'import producer as p; print(p.__file__)'")
    context, seen = browser.new_context(), []
    context.expose_function("noted", lambda text: seen.append(text))
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)

    page.goto(up["url"])
    page.get_by_label("Token").fill(up["token"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("There is no job yet.").wait_for()

    (code, ends) = blocks["Submit from Python"]
    (home / "first.py").write_text(code)
    with stranger.start("python", "first.py") as submitting:
        asked = read_until(submitting.stdout, ": ")
        job_id = re.search(r"/jobs/(\S+)", asked)[1]
        page.goto(f"{up['url']}/jobs/{job_id}")
        page.locator(".lead", has_text=f"draft 0 of {PHOTOS}").wait_for()
        submitting.stdin.write("\n")
        submitting.stdin.flush()
        state(page, "completed with errors").wait_for()
        said = submitting.communicate(timeout=60)[0]
    assert said == ends
    assert f"completed with errors {PHOTOS} of {PHOTOS} 100 %" in seen[-1]
    assert len(set(seen)) > 1

    page.get_by_text("image_truncated", exact=True).wait_for()
    shutil.copy(home / "whole.jpg", home / "photos/torn.jpg")
    page.get_by_role("button", name="Retry this one").click()
    state(page, "completed").wait_for()
    assert counts(stranger, job_id) == {"ok": PHOTOS, "cached": 0, "failed": 0}

    (over_http,) = blocks["Submit over HTTP"]
    second = json.loads(stranger.shell(over_http, NIGHTSHIFT=up["url"]))["job_id"]
    stranger.shell('nightshift watch "$JOB"', JOB=second)
    assert counts(stranger, second) == {"ok": 0, "cached": PHOTOS, "failed": 0}

    (export,) = blocks["Export"]
    stranger.shell(export, JOB=job_id[-6:])
    found = COCO(str(home / "labels/coco/annotations.json"))
    assert len(found.imgs) == PHOTOS
    assert len(found.anns) > PHOTOS
    for kind, place in (("coco", "coco/annotations.json"), ("yolo", "yolo")):
        read = subprocess.run([PANLABEL, "validate", "--format", kind, str(home / "labels" / place)], check=False)
        assert read.returncode == 0, kind

    (job_file, apply, again) = blocks["Every night"]
    (home / "yard.yaml").write_text(job_file)
    first_night = stranger.shell(apply).split()[-1]
    stranger.shell('nightshift watch "$JOB"', JOB=first_night)
    assert counts(stranger, first_night) == {"ok": 0, "cached": PHOTOS, "failed": 0}
    shown = stranger.shell(again)
    second_night = json.loads(stranger.shell("nightshift jobs --limit 1 --json"))["job_id"]
    assert f"{PHOTOS} of them from an earlier run" in shown
    assert counts(stranger, second_night) == {"ok": NEW, "cached": PHOTOS, "failed": 0}
    page.goto(f"{up['url']}/jobs/{second_night}")
    legend = page.locator(".legend").inner_text()
    assert (f"ok {NEW}" in legend, f"cached {PHOTOS}" in legend) == (True, True)
    page.goto(f"{up['url']}/schedules")
    assert page.get_by_role("link", name=re.compile("completed")).count() == 2
    context.close()


def test_without_the_extra_everything_but_pages_works_and_says_what_is_missing(wheel, tmp_path):
    bare = install(wheel, tmp_path)
    write_pages(bare.home / "photos", 2, split="held_out", seed=33)

    shown = bare.shell("nightshift run photos -m digits -f coco -o out --json")
    refused = bare.failing("nightshift serve --port 0")

    assert json.loads(shown)["ok"] == 2
    assert len(COCO(str(bare.home / "out/coco/annotations.json")).imgs) == 2
    assert 'pip install "nightshift[server]"' in refused


def state(page, words: str):
    """The chip above the bar, once it says so."""
    return page.locator(".lead .chip", has_text=re.compile(f"^{words}$"))


def counts(stranger: Installation, job_id: str) -> dict[str, int]:
    """A job's books, by the command line."""
    job = json.loads(stranger.shell('nightshift status "$JOB" --json', JOB=job_id))
    return {name: job[name] for name in ("ok", "cached", "failed")}


def read_until(stream, mark: str) -> str:
    """Give what a program prints up to a mark, which no line's end follows."""
    found = ""
    while not found.endswith(mark):
        found += stream.read(1)
    return found
