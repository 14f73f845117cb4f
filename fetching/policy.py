"""What may be read: the one place of rules. Whoever submits asks it, and whoever reads asks it again.

Pure: no name is resolved here. What a host's name leads to is checked when it is connected to
(`fetching.connecting`), each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fetching.addresses import literal, refusal
from fetching.errors import FetchDenied

if TYPE_CHECKING:
    import httpx

#: Schemes of HTTP, and those of object storages.
WEB_SCHEMES = frozenset({"http", "https"})
BUCKET_SCHEMES = frozenset({"s3", "gs", "az"})
#: Parts of a query that let whoever has them read more than a picture, in lower case: signatures and keys of S3,
#: CloudFront, Google and Azure, and what services commonly call theirs.
_SECRET_KEYS = frozenset(
    {
        "x-amz-signature", "x-amz-credential", "x-amz-security-token", "awsaccesskeyid", "key-pair-id",
        "x-goog-signature", "x-goog-credential", "googleaccessid", "signature", "sig", "access_token", "auth_token",
        "token", "api_key", "apikey", "api-key", "password", "passwd", "pwd", "secret", "client_secret", "jwt",
    }
)  # fmt: skip
_MAX_CHARS = 8192
_SHOWN_CHARS = 200
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")  # RFC 3986, section 3.1
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?\Z")
#: Names that mean this machine or its cloud, whatever a resolver says.
_INNER_NAMES = ("localhost", "*.localhost", "localhost.localdomain", "metadata", "metadata.google.internal")
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; older buckets have capitals and `_`.
#: Google's and Azure's rules are narrower. An ARN or a host is no name.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What an installation reads, and how much and how long.

    Attributes:
        schemes: of URIs; `file` stands for paths, too.
        allowed_hosts: patterns such as `*.example.org` for web addresses; empty: every host.
        allowed_ports: of web addresses.
        allowed_buckets: patterns for `s3://`, `gs://` and `az://`; empty: every bucket that the credentials open.
        allow_private: whether addresses of private networks, and of this machine, are connected to. Link-local and
            metadata addresses never are.
        allowed_roots: folders outside of which no local file is read; None: every folder.
        max_bytes: of one picture, or of one web answer that is kept in memory.
        max_download_bytes: of one video or manifest, which go to disk.
        connect_s, read_s: of one connection, and of one silence.
        deadline_s: of one item, with all redirects and tries.
        download_deadline_s: of one video or manifest.
        max_redirects: each is checked like the first address.
        attempts: tries of one item before it fails, or is tried again by the worker.
    """

    schemes: frozenset[str] = frozenset({"file"}) | WEB_SCHEMES | BUCKET_SCHEMES
    allowed_hosts: tuple[str, ...] = ()
    allowed_ports: frozenset[int] = frozenset(_DEFAULT_PORTS.values())
    allowed_buckets: tuple[str, ...] = ()
    allow_private: bool = False
    allowed_roots: tuple[str, ...] | None = None
    max_bytes: int = 256 * 2**20
    max_download_bytes: int = 8 * 2**30
    connect_s: float = 10.0
    read_s: float = 10.0
    deadline_s: float = 45.0
    download_deadline_s: float = 3600.0
    max_redirects: int = 5
    attempts: int = 3

    def check_web(self, uri: str) -> httpx.URL:
        """Give an http(s) address as it will be asked for.

        Raises:
            FetchDenied: naming what is wrong with it.
        """
        import httpx  # a tenth of a second that a job of local files does not pay

        _check_text(uri)
        self._check_scheme(uri)
        authority = re.split(r"[/?#]", uri.partition("://")[2], maxsplit=1)[0]
        if "@" in authority:
            raise FetchDenied(f"{shown(uri)} holds a user name or password; put none into an address: it is stored")
        try:
            url = httpx.URL(uri)
        except (httpx.InvalidURL, ValueError) as error:
            raise FetchDenied(f"{shown(uri)} is no address: {error}") from error
        host = url.raw_host.decode("ascii")
        self._check_host(uri, host)
        self._check_port(uri, _DEFAULT_PORTS[url.scheme] if url.port is None else url.port)
        _check_query(uri, url.query.decode("ascii"))
        return url

    def check_bucket(self, uri: str) -> tuple[str, str]:
        """Give bucket and key of an s3://, gs:// or az:// URI; the key of a whole bucket is empty.

        Raises:
            FetchDenied: naming what is wrong with it.
        """
        if "\0" in uri or "\n" in uri or "\r" in uri:
            raise FetchDenied(f"{shown(uri)} holds a control character, which no key here has")
        self._check_scheme(uri)
        bucket, _, key = uri.partition("://")[2].partition("/")
        if not _BUCKET.match(bucket):
            raise FetchDenied(f"{shown(uri)}: {bucket[:_SHOWN_CHARS]!r} is no bucket's name; expected s3://bucket/key")
        if not _is_listed(bucket, self.allowed_buckets):
            raise FetchDenied(
                f"{shown(uri)}: bucket {bucket} is not among those that are read here "
                f"({', '.join(self.allowed_buckets)}); ask the operator to list it"
            )
        if key and any(part in {".", ".."} for part in key.split("/")):
            raise FetchDenied(f"{shown(uri)} holds '.' or '..' between slashes, which means another key to some")
        if "?" in key:
            _check_query(uri, key.partition("?")[2])
        return bucket, key

    def check_remote(self, uri: str) -> None:
        """Refuse a remote URI that is not read here.

        Raises:
            FetchDenied: naming what is wrong with it.
        """
        if scheme_of(uri) in BUCKET_SCHEMES:
            self.check_bucket(uri)
        else:
            self.check_web(uri)

    def check_address(self, host: str, address: str) -> None:
        """Refuse a network address that `host` leads to.

        Raises:
            FetchDenied: it is not public, and private ones are not allowed.
        """
        found = literal(address.partition("%")[0])
        words = "no address" if found is None else refusal(found, allow_private=self.allow_private)
        if words is not None:
            raise FetchDenied(f"{host} leads to {address}: {words}; {self._remedy(words)}")

    def _check_scheme(self, uri: str) -> None:
        scheme, mark, _ = uri.partition("://")
        if not mark or scheme.lower() not in self.schemes:
            known = ", ".join(sorted(f"{name}://" for name in self.schemes))
            raise FetchDenied(f"{shown(uri)}: {scheme[:20]}:// is not read; expected a path or {known}")

    def _check_host(self, uri: str, host: str) -> None:
        try:
            address = literal(host)
        except ValueError as error:
            raise FetchDenied(f"{shown(uri)}: {error}") from error
        if address is not None:
            if getattr(address, "scope_id", None):
                raise FetchDenied(f"{shown(uri)}: an address with a zone means something on one machine only")
            self.check_address(host, str(address))
        elif not _NAME.match(host):
            raise FetchDenied(f"{shown(uri)}: {host[:_SHOWN_CHARS]!r} is no host's name; expected https://host/path")
        name = host.rstrip(".")
        if not self.allow_private and any(fnmatchcase(name, inner) for inner in _INNER_NAMES):
            raise FetchDenied(f"{shown(uri)}: {host} is this machine or its cloud; {self._remedy('private')}")
        if not _is_listed(name, self.allowed_hosts):
            raise FetchDenied(
                f"{shown(uri)}: host {host} is not among those that are read here "
                f"({', '.join(self.allowed_hosts)}); ask the operator to list it"
            )

    def _check_port(self, uri: str, port: int) -> None:
        if port not in self.allowed_ports:
            known = ", ".join(map(str, sorted(self.allowed_ports)))
            raise FetchDenied(f"{shown(uri)}: port {port} is not asked; expected one of {known}")

    def _remedy(self, words: str) -> str:
        if self.allow_private or "private" not in words:
            return "copy it to where it may be read"
        return "copy it to where it may be read, or let the operator allow private networks"


def is_remote(uri: str) -> bool:
    """Whether the URI names something beyond the file system."""
    return scheme_of(uri) != "file"


def has_scheme(uri: str) -> bool:
    """Whether the text begins with a scheme; a path may hold `://` further on."""
    return _SCHEME.match(uri) is not None


def scheme_of(uri: str) -> str:
    """The scheme in lower case; of a path, `file`."""
    found = _SCHEME.match(uri)
    return found[1].lower() if found else "file"


def shown(uri: str) -> str:
    """The URI for people: without user, query and fragment, where keys and signatures live, and not too long."""
    scheme, mark, rest = uri.partition("://")
    if mark:
        place = re.split(r"[?#]", rest, maxsplit=1)[0]
        authority, slash, path = place.partition("/")
        uri = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    text = uri if uri.isprintable() else repr(uri)[1:-1]
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."


def _check_text(uri: str) -> None:
    if len(uri) > _MAX_CHARS:
        raise FetchDenied(f"{shown(uri)} has {len(uri)} characters; expected at most {_MAX_CHARS}")
    if (found := _UNPRINTABLE.search(uri)) is not None:
        raise FetchDenied(f"{shown(uri)} holds the character {found.group()!r}; write it as a percent code")
    authority = re.split(r"[/?#]", uri.partition("://")[2], maxsplit=1)[0]
    if "%" in authority:
        raise FetchDenied(f"{shown(uri)} hides its host behind percent codes; write the host's name")


def _check_query(uri: str, query: str) -> None:
    """Refuse what would store a key or a signature in a row."""
    for name, _ in parse_qsl(query.replace(";", "&"), keep_blank_values=True):
        if name.lower() in _SECRET_KEYS:
            raise FetchDenied(
                f"{shown(uri)} carries {name[:40]!r} in its query: credentials would be stored with every result and "
                "end while the job waits. Let workers read the bucket with credentials of their own"
            )


def _is_listed(name: str, patterns: Iterable[str]) -> bool:
    patterns = tuple(patterns)
    return not patterns or any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)
