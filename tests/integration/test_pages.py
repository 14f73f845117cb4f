"""The pages in a browser, on real jobs: how they look, that everybody can use them, and that forms and scripts act."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobstore.item_pages import ItemFilter
from jobstore.schema import ItemRef, JobSpec, JobState, OutcomeState
from jobstore.views import GateState
from producer.gate_work import Watchman
from tests.fixtures.browsing import beat
from tests.fixtures.jobs import failed, ok, take, write

pytestmark = [pytest.mark.browser]
#: Of a picture for the documents, in pixels.
MOST_HIGH = 1500
PAGES = {
    "jobs": "/jobs",
    "job": "/jobs/{sure}",
    "working": "/jobs/{working}",
    "paused": "/jobs/{stopped}",
    "item": "/jobs/{sure}/items/2",
    "failed-item": "/jobs/{sure}/items/0",
    "fleet": "/fleet",
    "queues": "/queues",
    "models": "/models",
    "schedules": "/schedules",
    "compare": "/compare?a={sure}&b={doubtful}",
    "nothing": "/jobs/no-such-job",
}
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
}
#: What the documents show.
PICTURED = {("jobs", "light"), ("job", "light"), ("job", "dark"), ("job", "phone"), ("working", "light"),
            ("item", "light"), ("fleet", "light"), ("queues", "dark"), ("models", "light"), ("compare", "light"),
            ("schedules", "light"), ("jobs", "phone")}  # fmt: skip

#: What a browser says of itself, by a word in the test's name.
NOISE = {"nothing": "status of 404", "polling": "status of 502"}

FIXTURES = Path(__file__).parents[1] / "fixtures"
#: Functions for the browser that give a list of what is wrong.
WEAK_TEXTS, FAULTS = ((FIXTURES / name).read_text() for name in ("weak_texts.js", "page_faults.js"))


@pytest.fixture
def open_page(site, browser, request):
    """Give a function that opens a page of the signed-in operator; what the browser complains of fails the test."""
    contexts, complaints = [], []

    def open_(path, expected=200, before=None, **options):
        context = browser.new_context(**{**LOOKS["light"], **options})
        contexts.append(context)
        context.add_cookies([{"name": "nightshift_session", "value": site.token, "url": site.url}])
        page = context.new_page()
        if before is not None:
            before(page)
        page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(site.url) else complaints.append(asked.url))
        jobs = {name: getattr(site, name) for name in ("sure", "doubtful", "working", "stopped")}
        answer = page.goto(site.url + path.format(**jobs))
        assert answer.status == expected
        page.wait_for_load_state("networkidle")
        return page

    beat(site.store)
    yield open_
    for context in contexts:
        context.close()
    expected_noise = re.compile(next((words for name, words in NOISE.items() if name in request.node.name), "$^"))
    assert [text for text in complaints if not expected_noise.search(text)] == []


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_read_and_work_each_page(site, open_page, name, look, tmp_path, request):
    page = open_page(PAGES[name], 404 if name == "nothing" else 200, **LOOKS[look])

    assert page.evaluate(FAULTS) == []
    assert page.evaluate(WEAK_TEXTS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= LOOKS[look]["viewport"]["width"]
    if (name, look) in PICTURED:
        picture(page, site, (request.config.getoption("--write-pictures") or tmp_path) / f"{name}-{look}.png")


def picture(page, site, path):
    """A screenshot for the documents; where the test's pictures lie is of no interest."""
    page.evaluate("document.querySelectorAll('img[loading=lazy]').forEach(each => { each.loading = 'eager'; })")
    page.evaluate("Promise.all([...document.images].map(each => each.decode().catch(() => 0)))")
    folder = str(Path(site.services.options.data_dir).parent)
    page.evaluate(
        """folder => { const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(folder, "/photos"); }""",
        folder,
    )
    height = page.evaluate("document.querySelector('main').getBoundingClientRect().bottom")
    shot = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": min(height, MOST_HIGH)}
    page.screenshot(path=path, full_page=True, clip=shot)
    with Image.open(path) as full:
        assert np.asarray(full.convert("L")).std() > 3  # something is on it
        full.convert("RGB").quantize(192).save(path, optimize=True)  # a third of the bytes


def test_without_scripts_pages_show_and_do_the_same(site, open_page):
    page = open_page("/jobs/{sure}?score=0.9", java_script_enabled=False)

    assert page.get_by_role("heading", name="Failures").is_visible()
    shown, hidden = page.locator(".found:not(.off)").count(), page.locator(".found.off").count()
    assert shown > 0
    assert hidden > 0
    page.get_by_label("Class", exact=True).select_option("7")
    page.get_by_role("button", name="Apply").click()
    assert "only=7" in page.url
    assert set(page.locator(".found:not(.off) text").all_inner_texts()) or page.locator(".found:not(.off)").count()
    assert page.locator(".found:not(.off):not([data-class='7'])").count() == 0


def test_the_score_slider_hides_weak_objects_at_once_and_by_the_keyboard(open_page):
    page = open_page("/jobs/{doubtful}")
    before = page.locator(".found:not(.off)").count()

    page.get_by_label("Score at least").focus()
    page.keyboard.press("End")

    assert before > 0
    assert page.locator(".found:not(.off)").count() == 0
    assert page.locator("output").inner_text() == "1.00"
    assert "nothing found" in page.locator("[data-told]").first.inner_text()


def test_the_first_stop_of_the_keyboard_leads_past_the_navigation(open_page):
    page = open_page("/jobs")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"


def test_a_picture_is_small_private_and_of_this_server(site, open_page):
    page = open_page("/jobs/{sure}/items/2")

    with page.expect_response(re.compile(r"/picture\?")) as waited:
        page.reload()
    page.wait_for_load_state("networkidle")
    headers = waited.value.all_headers()
    assert headers["content-type"] == "image/jpeg"
    assert headers["cache-control"].startswith("private")
    assert page.evaluate("document.querySelector('.photo img').naturalWidth") > 0


NO_POLLING = "{ const set = setTimeout; window.setTimeout = (act, ms) => ms > 1500 ? 0 : set(act, ms); }"


@pytest.mark.parametrize("way", ["stream", "polling"])
def test_live_parts_follow_the_job_and_tell_screen_readers(site, open_page, way):
    job_id = add_small_job(site)
    page = open_page(f"/jobs/{job_id}", before=cut_streams if way == "polling" else forbid_polling)
    assert "0 of 8" in page.locator(".lead").inner_text()

    label_next_shard(site)

    page.get_by_text("50 %").first.wait_for(timeout=20_000)
    assert "50 %" in page.locator("#say").text_content()
    assert site.store.cancel(job_id)
    page.locator(".lead .chip", has_text="cancelled").wait_for()


def cut_streams(page):
    page.route("**/v1/jobs/*/events", lambda route: route.fulfill(status=502))


def forbid_polling(page):
    page.add_init_script(NO_POLLING)


def test_forms_steer_a_job_and_say_what_was_done(site, open_page):
    job_id = add_small_job(site)
    page = open_page(f"/jobs/{job_id}")

    page.get_by_role("button", name="Pause").click()
    page.get_by_text("The job is paused.").wait_for()
    assert site.store.state(job_id) is JobState.PAUSED
    page.get_by_label("Priority").fill("7")
    page.get_by_role("button", name="Set").click()
    page.get_by_text("The job has its new priority.").wait_for()
    assert site.store.status(job_id).priority == 7
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("The job goes on.").wait_for()
    assert site.store.state(job_id) is JobState.RUNNING
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_text("The job is cancelled.").wait_for()

    assert site.store.state(job_id) is JobState.CANCELLED
    assert page.get_by_role("button", name="Pause").count() == 0


def test_retry_these_runs_the_failures_of_one_cause_again(site, open_page):
    job_id = add_small_job(site)
    label_next_shard(site, broken={0: "image_truncated", 1: "not_an_image"})
    page = open_page(f"/jobs/{job_id}")

    page.get_by_role("button", name="with not_an_image").click()

    page.get_by_text("The items run again.").wait_for()
    assert [group.code for group in site.store.failures(job_id)] == ["image_truncated"]
    assert site.store.cancel(job_id)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_run_that_failed_its_gates_is_accepted(site, open_page, scripts):
    for objects in (1, 0):
        limits = {"min_images": 1, "speed_share": None}
        job_id = add_small_job(site, name=f"watched {scripts}", shard_size=8, gates=limits)
        label_next_shard(site, objects=objects)
        page = open_page(f"/jobs/{job_id}", java_script_enabled=scripts)
        assert "is judged in a moment" in page.locator("[aria-labelledby=h-gates]").inner_text()
        Watchman(site.store, "judge").judge_job(job_id)
    gates = page.locator("[aria-labelledby=h-gates]")
    if not scripts:
        page.reload()
    gates.get_by_text("not like the good runs before it").wait_for()

    gates.get_by_role("button", name="Accept this run").click()

    page.get_by_text("The run counts as a good one now").wait_for()
    assert site.store.status(job_id).gates is GateState.ACCEPTED


def test_an_export_is_asked_for_and_offered(site, open_page):
    page = open_page("/jobs/{sure}")

    page.get_by_label("yolo").check()
    page.get_by_role("button", name="Export").click()

    page.get_by_text("The export is asked for").wait_for()
    newest = site.store.exports.of_job(site.sure)[0]
    assert set(newest.output.formats) == {"coco", "yolo"}
    downloads = page.locator("[aria-labelledby=h-out]")
    assert "pending" in downloads.inner_text()
    site.store.exports.done(
        site.store.exports.claim("maker", 60, newest.output.dest), ({"format": "coco", "items": 1},)
    )
    downloads.get_by_role("link", name="Download zip").wait_for()


def test_signing_in_needs_a_token_and_leads_to_what_was_asked_for(site, browser):
    context = browser.new_context()
    page = context.new_page()

    page.goto(f"{site.url}/fleet")
    assert page.url.startswith(f"{site.url}/login")
    page.get_by_label("Token").fill("nightshift_wrong")
    page.get_by_role("button", name="Sign in").click()
    assert "unknown, expired or revoked" in page.get_by_role("alert").inner_text()
    page.get_by_label("Token").fill(site.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.url}/fleet")
    page.get_by_role("button", name="Sign out").click()

    assert page.url.startswith(f"{site.url}/login")
    context.close()


def add_small_job(site, **asked):
    for other in site.store.jobs(states=[JobState.RUNNING]):
        if other.job_id != site.working:
            site.store.cancel(other.job_id)
    known = [ItemRef(item.uri) for item in site.store.items(site.sure, ItemFilter(states=[OutcomeState.OK]), 8)]
    spec = JobSpec(**{"model": "digits", "name": "small", "shard_size": 4, "priority": 100, "canary_items": 0, **asked})
    return site.store.add_job(spec, known, lambda hardware: f"infer.{hardware}.digits")


def label_next_shard(site, broken=None, objects=1):
    """A worker takes the most urgent shard and ends it."""
    site.store.relay.recall_outranked()
    lease = take(site.store, site.store.release(32, "infer.cpu.digits")[0])
    codes = broken or {}
    outcomes = [
        failed(item.idx, codes[item.idx]) if item.idx in codes else ok(item.idx, objects) for item in lease.items
    ]
    assert {outcome.state for outcome in outcomes} <= {OutcomeState.OK, OutcomeState.FAILED}
    write(site.store, lease, outcomes, finished=True)
