"""TLS speaks of the host's name, although its checked address is what is connected to."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fetching.errors import FetchDenied, FetchFailed
from fetching.http import SafeClient
from fetching.policy import FetchPolicy

NAME = "photos.example"


def write_certificate(folder):
    """A certificate for `photos.example` that vouches for itself, with its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        self.server.hosts.append(self.headers["Host"])
        is_down = self.path == "/down"
        self.send_response(302 if is_down else 200)
        if is_down:
            self.send_header("Location", f"http://{NAME}:{self.server.server_port}/ok")
        self.send_header("Content-Length", "0" if is_down else "2")
        self.end_headers()
        self.wfile.write(b"" if is_down else b"ok")


@pytest.fixture
def server(tmp_path):
    """Remembers the names that clients ask for, in TLS and in HTTP."""
    certificate, key = write_certificate(tmp_path)
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.hosts, running.names = [], []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _, name, __: running.names.append(name)
    running.handle_error = lambda *_: None
    running.socket = context.wrap_socket(running.socket, server_side=True)
    running.trusted = ssl.create_default_context(cafile=str(certificate))
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def make_client(server):
    clients = []

    def make(*, is_trusting=True):
        policy = FetchPolicy(allow_private=True, allowed_ports=frozenset({server.server_port}), attempts=1)
        trusted = server.trusted if is_trusting else None
        clients.append(SafeClient(policy, lambda *_: ["127.0.0.1"], trusted))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_the_name_is_asked_for_in_tls_and_in_http(server, make_client):
    assert make_client().get(f"https://{NAME}:{server.server_port}/ok") == b"ok"
    assert server.names == [NAME]
    assert server.hosts == [f"{NAME}:{server.server_port}"]


def test_a_certificate_for_another_name_is_refused(server, make_client):
    with pytest.raises(FetchFailed, match="certificate"):
        make_client().get(f"https://other.example:{server.server_port}/ok")
    assert server.hosts == []


def test_a_certificate_that_nobody_vouches_for_is_refused(server, make_client):
    with pytest.raises(FetchFailed, match="certificate"):
        make_client(is_trusting=False).get(f"https://{NAME}:{server.server_port}/ok")
    assert server.hosts == []


def test_a_redirect_from_https_to_http_is_refused(server, make_client):
    with pytest.raises(FetchDenied, match="not encrypted"):
        make_client().get(f"https://{NAME}:{server.server_port}/down")
    assert len(server.hosts) == 1
