"""Where the gateway listens by TCP, and what that takes: TLS wherever another machine could read along."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from pathlib import Path

from shared.config.errors import ConfigError
from shared.config.settings import Settings


def bound(settings: Settings) -> socket.socket:
    """A socket bound there. Raises ConfigError where plain HTTP may not listen, and OSError, in words."""
    where = f"{settings.host}:{settings.port}"
    try:
        (family, kind, number, _, address), *_ = socket.getaddrinfo(
            settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise OSError(error.errno, f"{where} can't be taken ({error.strerror}); set MAKIMA_HOST") from None
    _refuse_plain_http(settings, str(address[0]))
    listener = socket.socket(family, kind, number)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"{where} can't be taken ({error.strerror}); set MAKIMA_PORT") from None
    return listener


def _refuse_plain_http(settings: Settings, address: str) -> None:
    if settings.tls_certificate or settings.plain_http or ipaddress.ip_address(address).is_loopback:
        return
    raise ConfigError(
        f"host = {settings.host!r} is for other machines too, and plain HTTP shows tokens to whoever is between: set "
        "tls_certificate and tls_key, or plain_http = true where that is what you want"
    )


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What TLS is spoken by: 1.2 and newer. Raises ConfigError where the files are no certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # 1.2's, by which a peer makes much work with few bytes
    context.set_alpn_protocols(["http/1.1"])
    for setting, file in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{setting}: {file} can't be read ({error.strerror})") from None
    try:
        context.load_cert_chain(certificate, key, _no_passphrase)
    except ssl.SSLError as error:
        reason = (error.reason or "unreadable").lower().replace("_", " ")
        raise ConfigError(f"tls_certificate {certificate} and tls_key {key} are no pair in PEM ({reason})") from None
    return context


def _no_passphrase() -> str:
    """Nobody is there to be asked for one. Raises ConfigError."""
    raise ConfigError("tls_key has a passphrase, and nobody is there to type it: give the key without one")
