"""Where the gateway may listen: off loopback only by TLS, or where plain HTTP was asked for by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.config import ConfigError, Settings, load
from shared.config.listening import bound, tls_context
from tests.certificates import Authority
from tests.conftest import Cluster, free_port


def settings(folder: Path, **given: str) -> Settings:
    named = {f"MAKIMA_{name.upper()}": value for name, value in given.items()}
    return load({"MAKIMA_HOME": str(folder), "MAKIMA_PORT": str(free_port()), **named})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_on_loopback_plain_http_may_listen(tmp_path: Path, host: str) -> None:
    with bound(settings(tmp_path, host=host)) as listener:
        listener.listen()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_off_loopback_it_has_to_be_asked_for_or_tls(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError) as refused:
        bound(settings(tmp_path, host=host))
    said = str(refused.value)
    assert "plain_http = true" in said and "tls_certificate" in said and "\n" not in said
    bound(settings(tmp_path, host=host, plain_http="true")).close()
    bound(settings(tmp_path, host=host, tls_certificate="/a.pem", tls_key="/a.key")).close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"tls_certificate": "/a.pem"}, "tls_key is missing"),
        ({"tls_key": "/a.pem"}, "tls_certificate is missing"),
        ({"tls_key": "a.key", "tls_certificate": "/a.pem"}, "tls_key is 'a.key'"),
        ({"trusted_proxies": "10.0.0.1,proxy"}, "trusted_proxies: 'proxy'"),
        ({"trusted_proxies": "10.0.0.1/8"}, "trusted_proxies: 10.0.0.1/8 has host bits set"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path: Path, given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, **given)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_files_that_are_no_certificate_and_its_key_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    _, other = authority.issue("localhost", certificate="other.pem", key="other.key")
    (locked := tmp_path / "locked.key").write_bytes(authority.locked())
    tls_context(certificate, key)
    for files, says in (
        ((certificate, other), "no pair in PEM (key values mismatch)"),
        ((key, certificate), "no pair in PEM"),
        ((certificate, locked), "has a passphrase"),
        ((tmp_path / "none.pem", key), "tls_certificate: "),
        ((certificate, tmp_path), "can't be read (Is a directory)"),
    ):
        with pytest.raises(ConfigError) as refused:
            tls_context(*files)
        assert says in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"host": "0.0.0.0"}, "plain_http = true"),
        ({"tls_certificate": "/none.pem", "tls_key": "/none.key"}, "/none.pem can't be read (No such file"),
    ],
)
def test_a_cluster_that_may_not_listen_does_not_begin_to_start(
    tmp_path: Path, given: dict[str, str], says: str
) -> None:
    cluster = Cluster(tmp_path / "home", **given)
    said = cluster.makima("up", "--detach", code=1)
    assert says in said and "Traceback" not in said
    assert not (cluster.home / "postgres").exists()
    findings = cluster.run("doctor").stdout
    assert says.partition(" ")[0] in findings
