"""What sign-in at an OpenID provider needs of the settings, and the file that holds its secret."""

from __future__ import annotations

import ipaddress
import shlex
import stat
from pathlib import Path
from urllib.parse import urlsplit

from shared.config.errors import ConfigError
from shared.config.settings import Settings

LONGEST_SECRET = 4096
"""Bytes."""


def refuse_unusable_sign_in(settings: Settings) -> None:
    """Raise ConfigError for settings by which nobody could sign in safely."""
    if settings.public_url is not None:
        _refuse_open(settings.public_url, "public_url", "https://makima.example.com")
        if urlsplit(settings.public_url).path not in ("", "/"):
            raise ConfigError(
                f"public_url is {settings.public_url!r}: leave out the path; the gateway has a host alone"
            )
    if settings.oidc_issuer is None:
        return
    _refuse_open(settings.oidc_issuer, "oidc_issuer", "https://accounts.example.com")
    if not settings.oidc_client_id:
        raise ConfigError("oidc_issuer is set without oidc_client_id; set what the provider calls this cluster, too")
    if settings.public_url is None:
        raise ConfigError(
            "oidc_issuer is set without public_url; set the address by which browsers reach the gateway, too"
        )


def client_secret(path: Path) -> str:
    """The secret that a file of this account's alone holds. Raises ConfigError."""
    try:
        found = path.stat()
        with path.open("rb") as file:
            secret = file.read(LONGEST_SECRET + 1).decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError(
            f"oidc_client_secret_file: {path} holds what is no ASCII; put the secret alone there"
        ) from None
    except OSError as error:
        raise ConfigError(f"oidc_client_secret_file: {path} can't be read: {error.strerror}") from None
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(
            f"oidc_client_secret_file: {path} is open to other accounts (mode {stat.S_IMODE(found.st_mode):o}); "
            f"chmod 600 {shlex.quote(str(path))}"
        )
    if not secret or len(secret) > LONGEST_SECRET or not secret.isprintable():
        raise ConfigError(f"oidc_client_secret_file: {path} holds no secret: one line of 1 to {LONGEST_SECRET} letters")
    return secret


def is_safe(url: str) -> bool:
    """Whether what is sent to a URL can be seen by nobody on the way: it is HTTPS, or leads to this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not (url.isascii() and url.isprintable()):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_open(url: str, name: str, example: str) -> None:
    if not is_safe(url) or "?" in url:
        raise ConfigError(f"{name} is {url!r}: write a URL such as {example}; http:// is only for this machine's own")
