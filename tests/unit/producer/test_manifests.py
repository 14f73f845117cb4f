import subprocess
import sys

import pytest

from jobstore.schema import ItemRef
from producer.errors import ManifestInvalid, SourceEmpty
from producer.sources import SourceOptions, expand


def read(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(expand(path))


def problem(tmp_path, name, text):
    with pytest.raises(ManifestInvalid) as caught:
        read(tmp_path, name, text)
    assert str(caught.value).startswith(f"{tmp_path}/{name}, line {caught.value.line}: ")
    return caught.value


@pytest.mark.parametrize("column", ["uri", "path", "image", "url", "file_name", "URI", " Path "])
def test_each_name_of_the_item_column_is_known(tmp_path, column):
    assert read(tmp_path, "m.csv", f"label,{column}\ncat,a.jpg\n") == [
        ItemRef(str(tmp_path / "a.jpg"), {"label": "cat"})
    ]


def test_paths_are_relative_to_the_manifest_and_absolute_ones_stay(tmp_path):
    uris = [item.uri for item in read(tmp_path, "m.csv", "uri\nsub/../a.jpg\n/b.jpg\nfile:///c.jpg\n")]

    assert uris == [str(tmp_path / "a.jpg"), "/b.jpg", "file:///c.jpg"]


def test_byte_order_mark_crlf_quotes_and_empty_lines_are_read(tmp_path):
    text = '\ufeffuri,note\r\n\r\n"a, b.jpg","two\r\nlines, ""quoted"""\r\n\r\nc.jpg,\r\n'

    assert read(tmp_path, "m.csv", text) == [
        ItemRef(str(tmp_path / "a, b.jpg"), {"note": 'two\r\nlines, "quoted"'}),
        ItemRef(str(tmp_path / "c.jpg"), {"note": ""}),
    ]


def test_the_nameless_index_column_of_pandas_is_dropped(tmp_path):
    assert read(tmp_path, "m.csv", ",uri\n0,a.jpg\n") == [ItemRef(str(tmp_path / "a.jpg"), None)]


def test_of_two_known_columns_the_first_in_order_wins(tmp_path):
    assert read(tmp_path, "m.csv", "path,uri\na.jpg,b.jpg\n")[0].uri.endswith("b.jpg")


def test_json_lines_hold_objects_or_bare_texts(tmp_path):
    text = '\ufeff{"uri": "a.jpg", "n": {"deep": [1, 2.5, null]}}\r\n\n"b \\u00e4.jpg"\n{"image": "c.jpg"}'

    assert read(tmp_path, "m.jsonl", text) == [
        ItemRef(str(tmp_path / "a.jpg"), {"n": {"deep": [1, 2.5, None]}}),
        ItemRef(str(tmp_path / "b ä.jpg")),
        ItemRef(str(tmp_path / "c.jpg")),
    ]


def test_a_list_holds_one_path_a_line_and_comments(tmp_path):
    uris = [item.uri for item in read(tmp_path, "m.txt", "# night\n a b.jpg \r\n\n./#1.jpg")]

    assert uris == [str(tmp_path / "a b.jpg"), str(tmp_path / "#1.jpg")]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name,label\na,b\n", 1, "expected one of uri, path"),
        ("uri;label\na;b\n", 1, "comma separated"),
        ("uri,URI\na,b\n", 1, "same name"),
        ("uri,label\na.jpg,x\nb.jpg\n", 3, "1 fields; expected 2"),
        ("uri\na.jpg\nb.jpg,c\n", 3, "2 fields; expected 1"),
        ("uri,label\n,cat\n", 2, "the item is empty"),
        ('uri\n"a.jpg\n', 2, "is a quote left open"),
        ("uri\nftp://host/a.jpg\n", 2, "ftp:// is not read"),
        (b"uri\n\xe4.jpg\n", 1, "0xe4 is not UTF-8"),
        ("uri\n".encode("utf-16"), 1, "not UTF-8"),
        ("uri\n" + "a" * 200_000, 2, "field larger"),
        ("uri\n" + "a" * 2_000_000, 2, "longer than"),
        ('uri\n"a\nb.jpg"\n', 3, "line break"),
        ("uri\na\0b.jpg\n", 2, "zero byte"),
    ],
)
def test_a_wrong_csv_line_is_named_with_what_was_expected(tmp_path, text, line, words):
    error = problem(tmp_path, "m.csv", text)

    assert (error.line, words in str(error)) == (line, True), str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"uri": "b.jpg"', "not JSON"),
        ("[1]", "expected an object or a text"),
        ("3", "expected an object or a text"),
        ("null", "expected an object or a text"),
        ('{"label": "b"}', "expected one of uri"),
        ('{"uri": 3}', "expected one of uri"),
        ('{"uri": ""}', "the item is empty"),
        ('{"uri": "b.jpg", "n": NaN}', "NaN is no JSON value"),
        ('{"uri": "b.jpg", "n": "\\ud800"}', "not JSON"),
        ('"\\u0000"', "zero byte"),
        ('{"uri": "b.jpg", "n": "\\u0000"}', "zero byte"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_wrong_json_line_is_named_with_what_was_expected(tmp_path, text, words):
    error = problem(tmp_path, "m.jsonl", f'"a.jpg"\n{text}\n')

    assert (error.line, words in str(error)) == (2, True), str(error)


@pytest.mark.parametrize(("name", "text"), [("m.csv", ""), ("m.csv", "uri\n"), ("m.jsonl", "\n"), ("m.txt", "#\n")])
def test_a_manifest_without_items_is_an_error(tmp_path, name, text):
    with pytest.raises(SourceEmpty):
        read(tmp_path, name, text)


def test_items_before_a_wrong_line_come_first(tmp_path):
    (tmp_path / "m.txt").write_text("a.jpg\nb.mp4\n")
    stream = expand(tmp_path / "m.txt")

    assert next(stream).uri.endswith("a.jpg")


def test_a_limit_stops_before_a_wrong_line(tmp_path):
    (tmp_path / "m.txt").write_text("a.jpg\nb.mp4\n")

    assert len(list(expand(tmp_path / "m.txt", SourceOptions(limit=1)))) == 1


@pytest.mark.parametrize(
    ("name", "head", "line"),
    [("m.csv", "uri,label\n", "a/{}.jpg,x\n"), ("m.jsonl", "", '{{"uri": "a/{}.jpg", "label": "x"}}\n')],
)
def test_a_hundred_thousand_lines_are_all_items(tmp_path, name, head, line):
    (tmp_path / name).write_text(head + "".join(line.format(n) for n in range(100_000)))

    assert sum(1 for _ in expand(tmp_path / name)) == 100_000


def test_a_large_manifest_is_never_in_memory_as_a_whole(tmp_path):
    (tmp_path / "m.csv").write_text("uri,note\n" + f"a.jpg,{'x' * 1000}\n" * 60_000)
    program = """
import sys
from producer.sources import expand
def peak():  # in kB; not ru_maxrss, which carries over what the test process had
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
print(sum(1 for _ in expand(sys.argv[1])), peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "m.csv"], capture_output=True, text=True, check=True
    )

    count, grown_kb = map(int, done.stdout.split())
    assert count == 60_000
    assert grown_kb < 10_000
