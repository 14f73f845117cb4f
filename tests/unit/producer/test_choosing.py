"""Dates, moments, patterns and folders that bound what a source gives; and Parquet manifests."""

import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from pyarrow import parquet

from fetching.policy import FetchPolicy
from producer.errors import ManifestInvalid, SourceDenied, SourceInvalid
from producer.sources import SourceOptions, SourceReport, expand, read_since
from producer.sources.dates import fill_dates

NIGHT = datetime(2026, 11, 1, 2, 30, tzinfo=ZoneInfo("Europe/Vienna"))
SPRING = datetime(2026, 3, 29, 12, 0, tzinfo=ZoneInfo("Europe/Vienna"))  # clocks went forward at 2:00


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("s3://cams/{date:%Y/%m/%d}/", NIGHT, "s3://cams/2026/11/01/"),
        ("in/{date}", NIGHT, "in/2026-11-01"),
        ("in/{date-1d}/*.jpg", NIGHT, "in/2026-10-31/*.jpg"),
        ("in/{date-1d:%d.%m.}", NIGHT, "in/31.10."),
        ("in/{date+2w:%j}", NIGHT, "in/319"),
        ("{date-3h:%d %H}", NIGHT, "31 23"),
        ("{date-12h:%d %H}", SPRING, "28 23"),
        ("{date-1d:%d %H}", SPRING, "28 12"),
        ("{date:%Y}/{date-1d:%Y}", datetime(2027, 1, 1, tzinfo=UTC), "2027/2026"),
        ("{dates}/{updated}/{}/{date", NIGHT, "{dates}/{updated}/{}/{date"),
    ],
)
def test_a_date_stands_where_its_template_was(text, moment, expected):
    assert fill_dates(text, moment) == expected


@pytest.mark.parametrize(
    "text", ["{date-1y}", "{date1d}x{date-d}", "{date:}", "{date %Y}", "{date-1d%Y}", "{date-99999d}"]
)
def test_a_template_that_is_none_is_named(text):
    with pytest.raises(SourceInvalid, match=r"expected \{date\}"):
        fill_dates(text, NIGHT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NIGHT - timedelta(minutes=90)),
        ("24h", NIGHT - timedelta(hours=24)),
        ("2w", NIGHT.astimezone(UTC) - timedelta(weeks=2)),
        ("2026-10-31", datetime(2026, 10, 31, tzinfo=NIGHT.tzinfo)),
        ("2026-10-31T03:00", datetime(2026, 10, 31, 3, tzinfo=NIGHT.tzinfo)),
        ("2026-10-31T03:00+00:00", datetime(2026, 10, 31, 3, tzinfo=UTC)),
    ],
)
def test_since_is_a_span_or_a_date(text, expected):
    assert read_since(text, NIGHT) == expected.timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "24", "-1h", "31.10.2026", "9999999d"])
def test_since_that_is_none_is_named(text):
    with pytest.raises(SourceInvalid, match="expected 24h"):
        read_since(text, NIGHT)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "b.png", "old.jpg", "sub/c.jpg", "sub/deep/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.utime(tmp_path / "old.jpg", (1000, 1000))
    return tmp_path


def names(folder, source, report=None, **options):
    return [os.path.relpath(item.uri, folder) for item in expand(str(source), SourceOptions(**options), report)]


@pytest.mark.parametrize("source", ["", "/**"], ids=["folder", "pattern"])
def test_files_are_chosen_by_name_way_and_age(folder, source):
    report = SourceReport()

    found = names(folder, f"{folder}{source}", report, include=("*.jpg",), exclude=("sub/deep/*",), since=2000.0)

    assert sorted(found) == ["a.jpg", "sub/c.jpg"]
    assert "include, exclude and since left out 3 files" in report.describe()


def test_a_manifest_is_chosen_from_by_name(folder):
    (folder / "m.txt").write_text("a.jpg\nb.png\nsub/c.jpg\n")

    assert names(folder, folder / "m.txt", include=("*.jpg",)) == ["a.jpg", "sub/c.jpg"]


def test_a_source_outside_of_the_allowed_folders_is_denied(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.jpg").touch()
    (folder / "way.jpg").symlink_to(elsewhere / "x.jpg")
    (folder / "list.txt").write_text(f"a.jpg\n{elsewhere}/x.jpg\n")
    policy = FetchPolicy(allowed_roots=(str(folder),))

    for source in (
        elsewhere,
        elsewhere / "x.jpg",
        folder / "sub/../../x",
        folder / "way.jpg",
        f"file://{elsewhere}/x.jpg",
    ):
        with pytest.raises(SourceDenied, match="ask the operator"):
            list(expand(str(source), SourceOptions(policy=policy)))
    with pytest.raises(SourceDenied):
        list(expand(f"{elsewhere}/*.jpg", SourceOptions(policy=policy)))
    with pytest.raises(ManifestInvalid, match=r"line 2: .*outside"):
        list(expand(str(folder / "list.txt"), SourceOptions(policy=policy)))


@pytest.mark.parametrize("source", ["", "/**"], ids=["folder", "pattern"])
def test_links_that_lead_out_of_the_allowed_folders_are_left_out_and_told(folder, tmp_path_factory, source):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.jpg").touch()
    (folder / "way.jpg").symlink_to(elsewhere / "x.jpg")
    (folder / "inner.jpg").symlink_to(folder / "a.jpg")
    report = SourceReport()

    found = names(folder, f"{folder}{source}", report, policy=FetchPolicy(allowed_roots=(str(folder),)))

    assert sorted(found) == ["a.jpg", "b.png", "inner.jpg", "old.jpg", "sub/c.jpg", "sub/deep/d.jpg"]
    assert report.outside == 1


def test_a_folder_that_a_link_leads_to_outside_is_not_entered(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.jpg").touch()
    (folder / "way").symlink_to(elsewhere)
    report = SourceReport()

    names(folder, folder, report, policy=FetchPolicy(allowed_roots=(str(folder),)))

    assert report.outside == 1


def test_a_root_that_is_a_link_is_the_folder_that_it_leads_to(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "photos"
    link.symlink_to(folder)

    assert len(names(folder, link, policy=FetchPolicy(allowed_roots=(str(link),)))) == 5


def write_table(path, **columns):
    parquet.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_a_parquet_manifest_keeps_other_columns_as_json(tmp_path):
    table = write_table(
        tmp_path / "m.parquet",
        Path=["a.jpg", "/b.jpg", "s3://bucket/c.jpg"],
        n=[1, None, 3],
        score=[0.5, float("nan"), float("inf")],
        day=[date(2026, 1, 2)] * 3,
        at=[datetime(2026, 1, 2, 3, 4, tzinfo=UTC)] * 3,
        price=[Decimal("1.50")] * 3,
        took=[timedelta(seconds=1.5)] * 3,
        tags=[["x", "y"], [], None],
        deep=[{"k": 1.0}, {"k": float("nan")}, None],
    )

    first, second, third = expand(table)

    fixed = {"day": "2026-01-02", "at": "2026-01-02T03:04:00+00:00", "price": "1.50", "took": 1.5}
    assert (first.uri, second.uri, third.uri) == (str(tmp_path / "a.jpg"), "/b.jpg", "s3://bucket/c.jpg")
    assert first.metadata == {"n": 1, "score": 0.5, "tags": ["x", "y"], "deep": {"k": 1.0}, **fixed}
    assert second.metadata == {"n": None, "score": None, "tags": [], "deep": {"k": None}, **fixed}
    assert third.metadata == {"n": 3, "score": None, "tags": None, "deep": None, **fixed}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"name": ["a"]}, "expected one of uri"),
        ({"uri": ["a.jpg", None]}, "line 2: column uri is empty"),
        ({"uri": [7]}, "line 1: column uri is empty"),
        ({"uri": ["a.jpg", ""]}, "line 2: the item is empty"),
        ({"uri": ["a.jpg"], "image_bytes": [b"x"]}, "column image_bytes holds bytes"),
        ({"uri": ["a.jpg"], "deep": [{"bytes": b"x"}]}, "column deep holds bytes"),
        ({"uri": ["a.jpg"], "URI": ["b.jpg"]}, "same name"),
        ({"uri": ["ftp://h/a.jpg"]}, "ftp:// is not read"),
    ],
)
def test_a_wrong_table_is_named_with_what_was_expected(tmp_path, columns, words):
    with pytest.raises(ManifestInvalid, match=words):
        list(expand(write_table(tmp_path / "m.parquet", **columns)))


@pytest.mark.parametrize("body", [b"", b"PAR1", b"no table at all" * 50, b"PAR1" + bytes(200) + b"PAR1"])
def test_what_is_no_table_is_named(tmp_path, body):
    (tmp_path / "m.parquet").write_bytes(body)

    with pytest.raises(ManifestInvalid, match="not Parquet"):
        list(expand(tmp_path / "m.parquet"))


@pytest.mark.parametrize("line", ['{"uri": "a.jpg", "uri": "b.jpg"}', '{"uri": "a.jpg", "m": {"k": 1, "k": 2}}'])
def test_a_json_line_with_a_key_twice_is_refused(tmp_path, line):
    (tmp_path / "m.jsonl").write_text(line)

    with pytest.raises(ManifestInvalid, match="two keys of one object are the same"):
        list(expand(tmp_path / "m.jsonl"))
