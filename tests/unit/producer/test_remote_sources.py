"""Sources on web servers and in buckets, over real HTTP."""

import subprocess
import sys

import pytest

from fetching.policy import FetchPolicy
from producer.errors import (
    ManifestInvalid,
    SourceDenied,
    SourceEmpty,
    SourceInvalid,
    SourceNotFound,
    SourceUnavailable,
    SourceUnsupported,
)
from producer.sources import SourceOptions, SourceReport, expand
from tests.fixtures.flawed_s3 import put_objects


@pytest.fixture
def web(evil):
    """Options that allow to ask the test's server."""
    return SourceOptions(
        policy=FetchPolicy(allow_private=True, allowed_ports=frozenset({evil.port, 443}), attempts=1, read_s=5)
    )


def uris(source, options=None, report=None):
    return [item.uri for item in expand(source, options, report)]


@pytest.fixture
def night(flawed_s3):
    names = ("a.jpg", "b.PNG", "c.txt.gz", "sub/d.jpg", "sub/deep/e.jpg", "sub/.f.jpg", ".hidden/g.jpg", "h.mp4", "i")
    put_objects("photos", {f"night/{name}": b"" for name in names} | {"night/": b"", "nightly/z.jpg": b""})
    return flawed_s3


@pytest.mark.parametrize("source", ["s3://photos/night/", "s3://photos/night", "S3://photos/night/"])
def test_a_prefix_is_a_folder(night, source):
    report = SourceReport()

    found = uris(source, report=report)

    assert found == [f"s3://photos/night/{name}" for name in ("a.jpg", "b.PNG", "h.mp4", "sub/d.jpg", "sub/deep/e.jpg")]
    assert report.describe() == "passed over 2 files: 1 .gz, 1 without ending"


def test_a_whole_bucket_is_a_folder(night):
    assert "s3://photos/nightly/z.jpg" in uris("s3://photos")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("night/*.jpg", ["a.jpg"]),
        ("night/*", ["a.jpg", "b.PNG", "h.mp4"]),
        ("night/**/*.jpg", ["a.jpg", "sub/d.jpg", "sub/deep/e.jpg"]),
        ("night/**", ["a.jpg", "b.PNG", "h.mp4", "sub/d.jpg", "sub/deep/e.jpg"]),
        ("night/?.[jP]*", ["a.jpg", "b.PNG"]),
        ("n*t/s?b/*.jpg", ["sub/d.jpg"]),
        ("night/sub/[!a]*/**/**/*.jpg", ["sub/deep/e.jpg"]),
    ],
)
def test_a_pattern_of_keys_matches_as_one_of_paths_does(night, pattern, names):
    assert uris(f"s3://photos/{pattern}") == [f"s3://photos/night/{name}" for name in names]


def test_names_are_chosen_by_patterns_and_the_rest_is_told(night):
    report = SourceReport()
    options = SourceOptions(include=("*.jpg", "sub/*"), exclude=("sub/deep/*",))

    assert uris("s3://photos/night/", options, report) == ["s3://photos/night/a.jpg", "s3://photos/night/sub/d.jpg"]
    assert report.unselected == 3


def test_only_objects_that_changed_since_are_taken(night):
    assert len(uris("s3://photos/night/", SourceOptions(since=0.0))) == 5
    with pytest.raises(SourceEmpty, match="since left out 5 files"):
        uris("s3://photos/night/", SourceOptions(since=4e9))


def test_keys_that_no_worker_could_read_are_passed_over_and_told(flawed_s3):
    put_objects("photos", dict.fromkeys(("x/ok.jpg", "x/../../etc/a.jpg", "x/a\nb.jpg", "x/a.jpg?token=1.jpg"), b""))
    report = SourceReport()

    assert uris("s3://photos/x/", report=report) == ["s3://photos/x/ok.jpg"]
    assert report.skipped == 2  # two dots are hidden, as in a folder


def test_one_object_is_not_asked_for(night):
    before = len(night.asked)

    assert uris("s3://photos/night/gone.jpg") == ["s3://photos/night/gone.jpg"]
    assert len(night.asked) == before


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("s3://nobody/x/", SourceNotFound),
        ("s3://photos/empty/", SourceEmpty),
        ("s3://user@photos/x/", SourceDenied),
        ("hdfs://photos/x/", SourceUnsupported),
        ("https://user:secret@example.org/a.jpg", SourceDenied),
        ("https://169.254.169.254/latest/a.jpg", SourceDenied),
        ("https://localhost/a.txt", SourceDenied),
        ("https://b.example.org/a.jpg?X-Amz-Signature=secret", SourceDenied),
        ("file://other/a.jpg", SourceDenied),
    ],
)
def test_a_source_that_is_not_read_says_why_and_tells_no_secret(flawed_s3, source, kind):
    options = SourceOptions(policy=FetchPolicy(allowed_roots=("/srv",)))
    with pytest.raises(kind) as caught:
        uris(source, options)
    assert "secret" not in str(caught.value)


def test_ten_thousand_keys_are_listed_in_flat_memory(flawed_s3):
    put_objects("photos", {f"many/{n % 100:02d}/{n:05d}.jpg": b"" for n in range(10_000)})
    program = """
import itertools
from producer.sources import expand
def peak():  # in kB, as in the test of manifests
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
items = expand("s3://photos/many/")
list(itertools.islice(items, 2000))  # two pages: the client and its buffers are there
before = peak()
print(2000 + sum(1 for _ in items), peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    count, growth_kb = map(int, done.stdout.split())

    assert count == 10_000
    assert growth_kb < 8_000
    assert len([path for path in flawed_s3.asked if path == "/photos"]) == 1 + 10  # the bucket was made, then ten pages


@pytest.mark.parametrize("flaw", [500, 404, "break", "half"])
def test_a_listing_that_fails_in_the_middle_is_an_error_and_not_a_shorter_job(flawed_s3, flaw):
    put_objects("photos", {f"many/{n:05d}.jpg": b"" for n in range(3000)})
    items = expand("s3://photos/many/", SourceOptions(policy=FetchPolicy(attempts=1)))
    next(items)
    flawed_s3.flaws[""] = [flaw] * 50

    with pytest.raises(SourceInvalid):
        list(items)


@pytest.mark.parametrize("flaw", [500, 503, "break", "half"])
def test_a_page_that_passes_is_asked_for_again(flawed_s3, flaw):
    put_objects("photos", {"x/a.jpg": b""})
    flawed_s3.flaws[""] = [flaw, flaw]

    assert uris("s3://photos/x/") == ["s3://photos/x/a.jpg"]


LISTS = {
    "text": ("list.txt", b"# tonight\na.jpg\n../b.jpg\n/c.jpg\nhttps://example.org/d.jpg\n"),
    "csv": ("list.csv", b"\xef\xbb\xbfurl,label\na.jpg,1\n../b.jpg,2\n/c.jpg,3\nhttps://example.org/d.jpg,4\n"),
    "json lines": ("list.jsonl", b'"a.jpg"\n{"image": "../b.jpg"}\n"/c.jpg"\n"https://example.org/d.jpg"\n'),
}


@pytest.mark.parametrize(("name", "body"), LISTS.values(), ids=LISTS)
def test_a_list_on_a_web_server_names_items_beside_it_and_elsewhere(evil, web, name, body):
    evil.pages[f"/page/sub/{name}"] = body

    found = uris(f"{evil.url}/page/sub/{name}", web)

    base = evil.url
    assert found == [f"{base}/page/sub/a.jpg", f"{base}/page/b.jpg", f"{base}/c.jpg", "https://example.org/d.jpg"]


def test_a_list_in_a_bucket_names_keys_beside_it(flawed_s3):
    put_objects("photos", {"lists/n.txt": b"a.jpg\n../b c.jpg\n/d.jpg\ns3://other/e.jpg\n"})

    found = uris("s3://photos/lists/n.txt")

    assert found == ["s3://photos/lists/a.jpg", "s3://photos/b c.jpg", "s3://photos/d.jpg", "s3://other/e.jpg"]


@pytest.mark.parametrize(
    "line",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "//169.254.169.254/a.jpg",
        "ftp://h/a.jpg",
        "https://u:p@h/a.jpg",
    ],
)
def test_a_remote_list_that_names_what_is_not_read_here_is_refused_by_its_line(evil, web, line):
    evil.pages["/page/list.txt"] = f"a.jpg\n{line}\n".encode()

    with pytest.raises(ManifestInvalid, match=r"list\.txt, line 2: "):
        uris(f"{evil.url}/page/list.txt", web)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("status/x.txt?code=404", SourceNotFound), ("status/x.csv?code=503", SourceUnavailable), ("gzip/x.txt", None)],
)
def test_a_list_that_does_not_come_is_an_error_of_its_class(evil, web, path, kind):
    with pytest.raises(kind or SourceInvalid):
        uris(f"{evil.url}/{path}", web)


def test_a_list_beyond_the_limit_is_refused(evil):
    policy = FetchPolicy(allow_private=True, allowed_ports=frozenset({evil.port}), max_download_bytes=1 << 20)

    with pytest.raises(SourceInvalid, match=r"at most 1048576|more than the 1048576"):
        uris(f"{evil.url}/endless/x.txt", SourceOptions(policy=policy))


def test_a_list_or_an_item_has_no_since(web, evil):
    options = SourceOptions(policy=web.policy, since=1.0)
    for path in ("list.txt", "a.jpg"):
        with pytest.raises(SourceInvalid, match="since is for folders"):
            uris(f"{evil.url}/page/{path}", options)
    assert evil.hits == []


def test_a_single_address_is_one_item_and_nobody_is_asked(evil, web):
    assert uris(f"{evil.url}/page/a?size=640", web) == [f"{evil.url}/page/a?size=640"]
    assert evil.hits == []
