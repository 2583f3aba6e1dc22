"""TLS: certificates, their reload, and what is wrong with them."""

import os
import signal
import socket
import ssl
import subprocess
import urllib.request

import pytest
from realm_server import KEY, SMOLLM2, RealmServer, wait_until

REALM = os.environ["REALM"]


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem"], check=True, capture_output=True)


class TlsServer(RealmServer):
    def __init__(self, folder):
        self.files = folder / "tls"
        self.files.mkdir()
        make_certificate(self.files, "first")
        super().__init__(folder, "--tls-cert", str(self.files / "cert.pem"),
                         "--tls-key", str(self.files / "key.pem"))

    def connect(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return context.wrap_socket(plain)

    def get(self, path, key=KEY):
        try:
            with self.connect() as wrapped:
                return self.ask(wrapped, path), b""
        except OSError:
            return 0, b""

    @staticmethod
    def ask(wrapped, path="/health"):
        wrapped.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with wrapped.makefile("rb") as file:
            status = int(file.readline().split()[1])
            length = 0
            while (line := file.readline().strip()):
                name, value = line.lower().split(b":", 1)
                length = int(value) if name == b"content-length" else length
            file.read(length)
        return status

    def certificate(self):
        with self.connect() as wrapped:
            return wrapped.getpeercert(binary_form=True)


@pytest.fixture
def tls(tmp_path):
    server = TlsServer(tmp_path)
    yield server
    server.stop()


def test_serves_tls_and_reloads_without_dropping_connections(tls):
    first = tls.certificate()
    assert tls.get("/health")[0] == 200
    with tls.connect() as old:
        assert tls.ask(old) == 200
        make_certificate(tls.files, "second")
        tls.process.send_signal(signal.SIGHUP)
        wait_until(lambda: tls.certificate() != first)
        assert tls.ask(old) == 200
        second = tls.certificate()
        (tls.files / "key.pem").write_text("no key")
        tls.process.send_signal(signal.SIGHUP)
        wait_until(lambda: any(line["event"] == "certificate_kept" for line in tls.log()))
        assert tls.certificate() == second and tls.ask(old) == 200


def test_plain_http_is_not_answered(tls):
    with socket.create_connection(("127.0.0.1", tls.port), timeout=30) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert b"200" not in plain.recv(4096)
        except ConnectionResetError:
            pass
    assert tls.get("/health")[0] == 200


@pytest.mark.parametrize("arguments, message", [
    (["--tls-cert", "cert.pem"], "both --tls-cert and --tls-key"),
    (["--tls-cert", "none.pem", "--tls-key", "key.pem"], "none.pem"),
    (["--tls-cert", "cert.pem", "--tls-key", "none.pem"], "none.pem"),
    (["--tls-cert", "cert.pem", "--tls-key", "cert.pem"], "private key")])
def test_wrong_files_are_named(tmp_path, arguments, message):
    make_certificate(tmp_path, "x")
    extra = ["--allow-root"] if os.geteuid() == 0 else []
    done = subprocess.run([REALM, "serve", "--port", "0", "--data", "data", "-m", SMOLLM2, *extra,
                           *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and message in done.stderr
