"""TLS by TCP: what is spoken, whose certificate, and that a handshake holds no more than a connection may."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.certificates import Authority
from tests.conftest import free_port
from tests.contract.service_harness import ServiceHarness
from tests.postgres import Postgres

NAMES = ("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.issue(*NAMES)
    return made


@pytest.fixture(scope="module")
def theatre(
    server: Postgres, tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[ServiceHarness]:
    files = {"tls_certificate": str(authority.folder / "server.pem"), "tls_key": str(authority.folder / "server.key")}
    home = tmp_path_factory.mktemp("gateway")
    with ServiceHarness(server, home, "gateway", port=str(free_port()), **files) as stage:
        stage.start()
        yield stage


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.certificate))


@pytest.fixture
def http(stage: ServiceHarness, authority: Authority) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {(stage.settings.home / 'token').read_text()}"}
    with httpx.Client(
        base_url=stage.settings.address(), headers=headers, verify=trusting(authority), timeout=30
    ) as client:
        yield client


def connected(stage: ServiceHarness, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", stage.settings.port), timeout=30)
    return context.wrap_socket(plain, server_hostname="localhost")


def serial(stage: ServiceHarness, authority: Authority) -> str:
    """Of the certificate that a new handshake is answered with."""
    with connected(stage, trusting(authority)) as peer:
        told = peer.getpeercert()
        assert told is not None
        return str(told["serialNumber"])


def ended(peer: socket.socket) -> bool:
    """Whether nothing comes any more."""
    try:
        return peer.recv(4096) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_asked_by_tls_is_answered(stage: ServiceHarness, authority: Authority, version: ssl.TLSVersion) -> None:
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    with connected(stage, context) as peer:
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert peer.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_what_is_older_than_1_2_is_refused(
    stage: ServiceHarness, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError) as refused:
        connected(stage, context)
    said = refused.value
    assert (
        isinstance(said, ssl.SSLEOFError | ssl.SSLZeroReturnError) or said.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
    ), said  # of the gateway


OLD_HELLOS = {
    "SSL 3.0": bytes.fromhex("160300002f0100002b0300") + bytes(32) + bytes.fromhex("000004000a00050100"),
    "SSL 2.0": bytes.fromhex("802e0100020015001000100100800200800300800400800500800600400700c0") + bytes(16),
    "plain HTTP": b"GET /v1/overview HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
    "noise": os.urandom(4096),
}


@pytest.mark.parametrize("said", OLD_HELLOS.values(), ids=OLD_HELLOS)
def test_whoever_speaks_something_else_gets_no_answer(stage: ServiceHarness, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=5) as peer:
        peer.sendall(said)
        with contextlib.suppress(ConnectionResetError):
            assert len(peer.recv(4096)) in (0, 7)  # nothing, or an alert
            assert ended(peer)


def test_the_socket_of_this_account_stays_plain(stage: ServiceHarness) -> None:
    transport = httpx.HTTPTransport(uds=str(stage.settings.gateway_socket()))
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        assert client.get("/healthz").status_code == 200


def test_a_request_in_one_piece_with_the_end_of_the_handshake_is_answered(
    stage: ServiceHarness, authority: Authority
) -> None:
    for _ in range(50):
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(authority).wrap_bio(coming, going, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=30) as peer:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    peer.sendall(going.read())
                    coming.write(peer.recv(65536))
            tls.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            peer.sendall(going.read())
            answer = b""
            while b"200 OK" not in answer:
                piece = peer.recv(65536)
                assert piece
                coming.write(piece)
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer += tls.read()


def test_a_new_certificate_counts_from_the_next_handshake_on(
    stage: ServiceHarness, authority: Authority, http: httpx.Client
) -> None:
    first = serial(stage, authority)
    with connected(stage, trusting(authority)) as before:
        authority.issue(*NAMES)
        assert serial(stage, authority) != first
        before.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert before.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert http.get("/v1/overview").status_code == 200


@pytest.mark.parametrize("breaking", ["no PEM", "another's key", "gone", "empty", "a passphrase"])
def test_a_bad_file_keeps_the_old_certificate_and_is_one_line_of_the_log(
    stage: ServiceHarness, authority: Authority, breaking: str
) -> None:
    first, key = serial(stage, authority), authority.folder / "server.key"
    kept, log = key.read_bytes(), stage.settings.home / "gateway.log"
    lines = len(log.read_text().splitlines())
    if breaking == "another's key":
        authority.issue(*NAMES, certificate="other.pem", key="server.key")
    elif breaking == "gone":
        key.unlink()
    elif breaking == "a passphrase":
        key.write_bytes(authority.locked())
    else:
        key.write_bytes(b"" if breaking == "empty" else b"-----BEGIN PRIVATE KEY-----\nno\n")
    assert [serial(stage, authority) for _ in range(5)] == [first] * 5
    (said,) = log.read_text().splitlines()[lines:]
    assert "the new certificate can't be used; the old one stays" in said and "Traceback" not in said
    key.write_bytes(kept)
    assert serial(stage, authority) == first
    authority.issue(*NAMES)
    assert serial(stage, authority) != first


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01"], ids=["silent", "half a hello"])
def test_six_hundred_handshakes_that_never_end_keep_nobody_out(
    stage: ServiceHarness, http: httpx.Client, said: bytes
) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(600):
            peer = open_ones.enter_context(socket.create_connection(("127.0.0.1", stage.settings.port), timeout=30))
            with contextlib.suppress(ConnectionError):  # it has given way already
                peer.sendall(said)
        began = time.monotonic()
        assert http.get("/v1/overview").status_code == 200
        assert time.monotonic() - began < 5


def test_a_handshake_has_its_time(stage: ServiceHarness) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=30) as slow:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600)
        with contextlib.suppress(ConnectionError):
            for byte in hello:
                slow.sendall(bytes([byte]))
                time.sleep(0.2)
    assert 5 < time.monotonic() - began < 60


def test_headers_without_end_and_slow_ones_are_cut_off(stage: ServiceHarness, authority: Authority) -> None:
    much, began = b"X-Much: " + b"x" * 4000 + b"\r\n", time.monotonic()
    with connected(stage, trusting(authority)) as endless, contextlib.suppress(ConnectionError, ssl.SSLError):
        endless.sendall(b"GET / HTTP/1.1\r\n")
        while time.monotonic() - began < 30:
            endless.sendall(much)
    assert time.monotonic() - began < 8  # a peer may take its time to say goodbye
    with connected(stage, trusting(authority)) as slow:
        slow.sendall(b"GET /healthz HTT")
        assert ended(slow)


def test_who_takes_nothing_of_an_answer_is_cut_off(stage: ServiceHarness, authority: Authority) -> None:
    with connected(stage, trusting(authority)) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asked = b"GET /schema/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        began = time.monotonic()
        peer.settimeout(1)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while time.monotonic() - began < 120:
                with contextlib.suppress(TimeoutError):
                    peer.sendall(asked)
        assert time.monotonic() - began < 100
