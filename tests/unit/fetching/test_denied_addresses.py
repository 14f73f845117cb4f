"""What is refused before anything is asked: each row is a spelling that some peer has fallen for."""
# ruff: noqa: RUF001, S104

import pytest

from fetching.errors import FetchDenied
from fetching.policy import FetchPolicy, shown

NUMBERS = [
    "2130706433", "017700000001", "0x7f000001", "0X7F000001", "0x7f.1", "0x7f.0.0.1", "0177.0.0.1", "0177.0.0.01",
    "127.1", "127.0.1", "0", "0.0", "127.0.0.1.", "127.0.0.01", "127.0.0.0x1", "1.2.3.256", "1.2.3.4.5", "2852039166",
    "0xa9fea9fe", "169.16689662", "0251.0376.0251.0376", "a.0x7f", "x.1", "00000000000.1",
]  # fmt: skip
INNER = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.1",
    "192.168.1.1", "100.64.0.1", "100.127.255.255", "169.254.169.254", "169.254.170.2", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1",
]  # fmt: skip
INNER_V6 = [
    "::", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1", "::127.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2001::1",
    "2001:0:7f00:1::", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254",
    "ff02::1", "2001:db8::1", "100::1", "3fff::1", "5f00::1", "4000::1", "0:0:0:0:0:0:0:1",
]  # fmt: skip
NAMES = [
    "localhost", "LOCALHOST", "localhost.", "foo.localhost", "localhost.localdomain", "metadata",
    "metadata.google.internal", "METADATA.google.internal.",
]  # fmt: skip
WRITTEN = {
    "a user": "https://user@example.org/a.jpg",
    "a password": "https://user:secret@example.org/a.jpg",
    "an empty user": "https://@example.org/a.jpg",
    "a host as user": "https://example.org@127.0.0.1/a.jpg",
    "a host as password": "https://example.org:80@127.0.0.1/a.jpg",
    "two at signs": "https://a@b@127.0.0.1/",
    "a backslash before the user": "https://example.org\\@127.0.0.1/",
    "a backslash as slash": "https:\\\\127.0.0.1\\",
    "a backslash in the path": "https://example.org/\\..\\a",
    "an escaped host": "https://%31%32%37.0.0.1/",
    "an escaped at sign": "https://example.org%40127.0.0.1/",
    "an escaped zero": "https://127.0.0.1%00.example.org/",
    "an escaped slash in the host": "https://127.0.0.1%2f.example.org/",
    "a line feed": "https://example.org/a\nHost: b",
    "a carriage return and line feed": "https://example.org/\r\nX: y",
    "a line break in the host": "https://exam\r\nple.org/",
    "a tab": "https://exa\tmple.org/",
    "a zero byte": "https://example.org/\0.jpg",
    "a space": "https://example.org/a b.jpg",
    "a space in front": " https://example.org/",
    "a no-break space": "https://example.org\xa0/",
    "a line separator": "https://example.org/\u2028",
    "circled digits": "https://①②⑦.⓪.⓪.①/",
    "fullwidth digits": "https://１２７.0.0.1/",
    "ideographic stops": "https://127。0。0。1/",
    "circled letters": "https://ⓛocalhost/",
    "a fraction that is a slash": "https://example.org℀.evil.example/",
    "no host": "https:///a.jpg",
    "no host but a port": "https://:443/a.jpg",
    "a query as host": "https://?127.0.0.1",
    "an empty label": "https://example..org/",
    "a leading stop": "https://.example.org/",
    "a leading hyphen": "https://-example.org/",
    "a long label": f"https://{'a' * 64}.org/",
    "a long name": f"https://{'a.' * 130}org/",
    "a long address": "https://example.org/" + "a" * 9000,
    "an open bracket": "https://[::1/",
    "a bracketed name": "https://[localhost]/",
    "a zone": "https://[fe80::1%25eth0]/",
    "a zone unescaped": "https://[fe80::1%eth0]/",
    "a future address": "https://[v1.127]/",
    "another port": "https://example.org:22/",
    "the port of Redis": "http://example.org:6379/",
    "port 0": "https://example.org:0/",
    "too large a port": "https://example.org:65536/",
    "a negative port": "https://example.org:-1/",
    "a port of words": "https://example.org:http/",
    "ftp": "ftp://example.org/a.jpg",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict": "dict://127.0.0.1:11211/stat",
    "ldap": "ldap://example.org/",
    "javascript": "javascript://example.org/%0aalert(1)",
    "jar": "jar:https://example.org/a.zip!/b.jpg",
    "data": "data:image/png;base64,AAAA",
    "php": "php://filter/resource=/etc/passwd",
    "netdoc": "netdoc:///etc/passwd",
    "smb": "smb://example.org/a",
    "ws": "ws://example.org/",
    "unix": "unix:///var/run/docker.sock",
    "http+unix": "http+unix://%2fvar%2frun%2fdocker.sock/",
    "rtsp": "rtsp://example.org/live",
    "concat": "concat:https://example.org/a|/etc/passwd",
    "one slash": "https:/example.org/a.jpg",
    "no slash": "https:example.org",
    "no scheme": "//example.org/a.jpg",
    "an empty text": "",
    "a signature of S3": "https://b.s3.amazonaws.com/a.jpg?X-Amz-Signature=f00&X-Amz-Credential=AKIA",
    "an old signature of S3": "https://b.s3.amazonaws.com/a.jpg?AWSAccessKeyId=A&Signature=b",
    "a signature of Google": "https://storage.googleapis.com/b/a.jpg?X-Goog-Signature=1",
    "a signature of Azure": "https://a.blob.core.windows.net/c/a.jpg?sv=2023&sig=abc",
    "a token": "https://example.org/a.jpg?TOKEN=abc",
    "an escaped token": "https://example.org/a.jpg?t%6Fken=abc",
    "a token after a semicolon": "https://example.org/a.jpg?a=1;token=abc",
    "an API key": "https://example.org/a.jpg?w=1&api_key=abc",
}
DENIED = (
    [f"http://{host}/a.jpg" for host in NUMBERS + INNER + NAMES]
    + [f"https://[{host}]/a.jpg" for host in INNER_V6]
    + list(WRITTEN.values())
)
ALLOWED = {
    "https": "https://example.org/a.jpg",
    "http": "http://example.org/a.jpg",
    "capitals": "HTTPS://EXAMPLE.org/a.jpg",
    "the usual ports": "https://example.org:443/a.jpg",
    "a public address": "http://93.184.215.14/a.jpg",
    "a public address of version 6": "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/a.jpg",
    "a mapped public address": "https://[::ffff:93.184.215.14]/a.jpg",
    "a translated public address": "https://[64:ff9b::93.184.215.14]/a.jpg",
    "a plain query": "https://example.org/a.jpg?w=640&h=480",
    "an at sign in the path": "https://example.org/@user/a.jpg",
    "a colon in the path": "https://example.org/a:b@c/d.jpg",
    "an umlaut": "https://bücher.example/a.jpg",
    "letters of other scripts in the path": "https://example.org/写真.jpg",
    "an escaped space": "https://example.org/a%20b.jpg",
    "an underscore": "https://my_photos.example.org/a.jpg",
    "a name that begins with digits": "https://1e100.example/a.jpg",
    "a name like a number": "https://127.0.0.1.example.org/a.jpg",
    "a trailing stop": "https://example.org./a.jpg",
}


def test_there_are_more_than_a_hundred_rows():
    assert len(set(DENIED)) > 100


@pytest.mark.parametrize("uri", DENIED, ids=ascii)
def test_an_address_that_leads_inside_or_hides_where_it_leads_is_denied(uri):
    with pytest.raises(FetchDenied):
        FetchPolicy().check_web(uri)


@pytest.mark.parametrize("uri", ALLOWED.values(), ids=ALLOWED)
def test_an_ordinary_address_is_allowed(uri):
    assert FetchPolicy().check_web(uri).scheme in {"http", "https"}


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[::1]", "[fd12::1]", "100.64.0.1", "localhost"])
def test_private_networks_are_asked_where_the_operator_allows_them(host):
    assert FetchPolicy(allow_private=True).check_web(f"http://{host}/a.jpg").path == "/a.jpg"


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "0.0.0.0", "224.0.0.1"],
)
def test_metadata_addresses_are_never_asked(host):
    with pytest.raises(FetchDenied):
        FetchPolicy(allow_private=True).check_web(f"http://{host}/a.jpg")


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("img.example.org", True),
        ("IMG.Example.org", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("evilexample.org", False),
        ("img.example.org.evil.example", False),
        ("93.184.215.14", False),
    ],
)
def test_listed_hosts_are_matched_whole(host, is_allowed):
    policy = FetchPolicy(allowed_hosts=("*.example.org",))
    if is_allowed:
        policy.check_web(f"https://{host}/a.jpg")
        return
    with pytest.raises(FetchDenied, match="not among"):
        policy.check_web(f"https://{host}/a.jpg")


def test_a_listed_port_is_asked():
    assert FetchPolicy(allowed_ports=frozenset({8443})).check_web("https://example.org:8443/").port == 8443


@pytest.mark.parametrize(
    "uri",
    [
        "s3:///a.jpg",
        "s3://arn:aws:s3:us-east-1:1:accesspoint/x/a.jpg",
        "s3://user@bucket/a.jpg",
        "s3://bucket:80/a.jpg",
        "s3://bucket\\x/a.jpg",
        "s3://b%75cket/a.jpg",
        "s3://-bucket/a.jpg",
        "s3://bucket/../other/a.jpg",
        "s3://bucket/a/./b.jpg",
        "s3://bucket/a\r\nX: y.jpg",
        "s3://bucket/a\0.jpg",
        "s3://bucket/a.jpg?X-Amz-Signature=1",
        "gcs://bucket/a.jpg",
        "abfs://bucket/a.jpg",
    ],
    ids=ascii,
)
def test_a_bucket_address_that_is_none_is_denied(uri):
    with pytest.raises(FetchDenied):
        FetchPolicy().check_bucket(uri)


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("s3://bucket/a.jpg", ("bucket", "a.jpg")),
        ("s3://bucket", ("bucket", "")),
        ("gs://my-bucket.example.org/a/b?c=d.jpg", ("my-bucket.example.org", "a/b?c=d.jpg")),
        ("az://photos/ä b/@.jpg", ("photos", "ä b/@.jpg")),
    ],
)
def test_a_bucket_address_gives_bucket_and_key(uri, found):
    assert FetchPolicy().check_bucket(uri) == found


def test_only_listed_buckets_are_read():
    policy = FetchPolicy(allowed_buckets=("cams-*",))
    assert policy.check_bucket("s3://cams-yard/a.jpg")
    with pytest.raises(FetchDenied, match="cams-\\*"):
        policy.check_bucket("s3://payroll/a.jpg")


@pytest.mark.parametrize("uri", [uri for uri in WRITTEN.values() if "secret" in uri or "f00" in uri or "abc" in uri])
def test_a_refusal_does_not_repeat_credentials(uri):
    with pytest.raises(FetchDenied) as caught:
        FetchPolicy().check_web(uri)
    assert not any(secret in str(caught.value) for secret in ("user:", "secret", "f00", "AKIA", "abc"))


def test_an_address_is_shown_without_what_is_secret_and_not_too_long():
    assert shown("https://u:p@h/a.jpg?token=1#x") == "https://h/a.jpg"
    assert shown("https://h/\x1b[31m") == "https://h/\\x1b[31m"
    assert len(shown("https://h/" + "a" * 5000)) < 250
