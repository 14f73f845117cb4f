"""docs/first_hour.md by somebody who has nothing but the wheel: every line of it, and the buttons in a browser."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sysconfig
from pathlib import Path

import httpx
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
    """Somebody with `nightshift[server]`, a folder of pictures of which one is torn, and three for tomorrow."""
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


@pytest.fixture
def page(browser, up):
    """A browser that has not signed in yet; `page.seen` is what the line above a job's bar has shown."""
    context, seen = browser.new_context(base_url=up["url"]), []
    context.expose_function("noted", lambda text: seen.append(text))
    context.add_init_script(WATCH)
    found = context.new_page()
    found.set_default_timeout(PATIENCE_MS)
    found.seen = seen
    yield found
    context.close()


@pytest.fixture
def ask(up):
    """A program that speaks HTTP."""
    with httpx.Client(base_url=up["url"], headers={"Authorization": f"Bearer {up['token']}"}) as client:
        yield client


@pytest.mark.timeout(400)  # a minute on a machine of its own
def test_a_stranger_gets_from_the_wheel_to_a_folder_that_labels_itself_every_night(stranger, up, page, ask):
    blocks = page_blocks()
    assert str(stranger.folder) in stranger.shell("command -v nightshift")
    sign_in(page, up["token"])

    job_id = submit_from_python(stranger, page, *blocks["Submit from Python"])
    retry_from_the_page(stranger, page)
    assert counts(ask, job_id) == {"ok": PHOTOS, "cached": 0, "failed": 0}

    (over_http,) = blocks["Submit over HTTP"]
    known = json.loads(stranger.shell(over_http, NIGHTSHIFT=up["url"]))["job_id"]
    assert counts(ask, known) == {"ok": 0, "cached": PHOTOS, "failed": 0}

    (export,) = blocks["Export"]
    stranger.shell(export, JOB=job_id[-6:])
    check_labels(stranger.home / "labels")

    (job_file, apply, again) = blocks["Every night"]
    (stranger.home / "yard.yaml").write_text(job_file)
    first_night = stranger.shell(apply).split()[-1]
    assert counts(ask, first_night) == {"ok": 0, "cached": PHOTOS, "failed": 0}
    assert f"{PHOTOS} of them from an earlier run" in stranger.shell(again)
    second_night = ask.get("/v1/jobs?limit=1").json()["data"][0]["job_id"]
    assert counts(ask, second_night) == {"ok": NEW, "cached": PHOTOS, "failed": 0}
    page.goto(f"/jobs/{second_night}")
    assert page.locator(".legend li").all_inner_texts()[:2] == [f"ok {NEW}", f"cached {PHOTOS}"]
    page.goto("/schedules")
    assert page.get_by_role("link", name=re.compile("completed")).count() == 2


def sign_in(page, token: str) -> None:
    page.goto("/")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("There is no job yet.").wait_for()


def submit_from_python(stranger: Installation, page, code: str, printed: str) -> str:
    """The page of the draft is open before it is sealed; it shows the way to the end by itself."""
    (stranger.home / "first.py").write_text(code)
    with stranger.start("python", "first.py") as submitting:
        job_id = re.search(r"/jobs/(\S+)", read_until(submitting.stdout, ": "))[1]
        page.goto(f"/jobs/{job_id}")
        page.locator(".lead", has_text=f"draft 0 of {PHOTOS}").wait_for()
        submitting.stdin.write("\n")
        submitting.stdin.flush()
        state(page, "completed with errors").wait_for()
        assert submitting.communicate(timeout=60)[0] == printed
    assert page.seen[0].startswith(f"draft 0 of {PHOTOS} 0 %")
    assert page.seen[-1].startswith(f"completed with errors {PHOTOS} of {PHOTOS} 100 %")
    return job_id


def retry_from_the_page(stranger: Installation, page) -> None:
    """The torn picture is replaced by a whole one, and its button pressed."""
    page.get_by_text("image_truncated", exact=True).wait_for()
    shutil.copy(stranger.home / "whole.jpg", stranger.home / "photos/torn.jpg")
    page.get_by_role("button", name="Retry this one").click()
    state(page, "completed").wait_for()


def check_labels(folder: Path) -> None:
    """Tools of others take the exports: each picture is there, and at least a digit on each."""
    found = COCO(str(folder / "coco/annotations.json"))
    assert len(found.imgs) == PHOTOS
    assert {note["image_id"] for note in found.anns.values()} == set(found.imgs)
    for kind, place in (("coco", "coco/annotations.json"), ("yolo", "yolo")):
        command = [PANLABEL, "validate", "--format", kind, str(folder / place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


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


def counts(ask: httpx.Client, job_id: str) -> dict[str, int]:
    """The books of a job, which the end of its events closes."""
    assert "event: end" in ask.get(f"/v1/jobs/{job_id}/events", timeout=PATIENCE_MS / 1000).text
    job = ask.get(f"/v1/jobs/{job_id}").json()
    return {name: job[name] for name in ("ok", "cached", "failed")}


def read_until(stream, mark: str) -> str:
    """Give what a program prints up to a mark, which no line's end follows."""
    found = ""
    while not found.endswith(mark):
        more = stream.read(1)
        assert more, f"it ended with {found!r}"
        found += more
    return found
