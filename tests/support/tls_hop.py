"""A hop as a tunnel's edge is one: it ends TLS and tells webapp whence and how a browser came."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESS = "127.0.0.7"  # loopback, and no other program of this machine listens on this address alone
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "server", "date"}


class _Handler(BaseHTTPRequestHandler):
    upstream = 0

    def _pass_on(self):
        length = int(self.headers.get("Content-Length", 0))
        sent = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP - {"content-length"}}
        sent["X-Forwarded-For"] = ", ".join(filter(None, [sent.pop("X-Forwarded-For", ""), self.client_address[0]]))
        sent["X-Forwarded-Proto"] = ", ".join(filter(None, [sent.pop("X-Forwarded-Proto", ""), "https"]))
        sent.setdefault("X-Forwarded-Host", sent["Host"])  # a client's own value is passed on, as ngrok does
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=20)
        try:
            connection.request(self.command, self.path, self.rfile.read(length), sent)
            answer = connection.getresponse()
            body = answer.read()
        except OSError:
            self.send_error(502)
            return
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _pass_on  # noqa: N815  http.server asks for these names

    def log_message(self, *_args):
        pass


@contextmanager
def tls_hop(directory, upstream, *, days=1):
    """The https address of a hop in front of a port of 127.0.0.1, and the file with its certificate.

    With ``days`` below 0 the certificate has ended.
    """
    file = _make_certificate(directory, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = ThreadingHTTPServer((ADDRESS, 0), type("Handler", (_Handler,), {"upstream": upstream}))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"https://{ADDRESS}:{server.server_port}", file
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def _make_certificate(directory, days):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ADDRESS)])
    ends = datetime.now(UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=30))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = directory / "hop.pem"
    file.write_bytes(private + certificate.public_bytes(encoding))
    return file
