"""The link to daemons on other machines: CURVE over TCP, what each side keeps of its keys, and invitations.

https://rfc.zeromq.org/spec/26 (CurveZMQ). A key is 32 bytes, written in Z85 as 40 characters.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
import zmq

from shared.config import ConfigError
from shared.config.secret_file import replace

_TOKEN = "mki_"


class KeyPair(msgspec.Struct, frozen=True):
    """A CURVE key pair, each in Z85."""

    public: str
    secret: str


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A key that may connect: a daemon's, or an invitation's until it is used or `until` (seconds since 1970)."""

    key: str
    name: str
    kind: Literal["daemon", "invitation"]
    owner: str = "default"
    until: float | None = None
    labels: tuple[str, ...] = ()
    """What it has of these and no others, and at most so many slots, None a fixed most: its own word doesn't count."""
    slots: int | None = None


class AdmittedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Who may connect to the link. `asking`: a key that nobody knows may, to ask for being accepted."""

    keys: tuple[Admitted, ...] = ()
    asking: bool = False


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon keeps of the cluster on another machine that it belongs to."""

    address: str
    """`HOST:PORT` of the broker."""
    server: str
    """The broker's public key."""
    secret: str
    """The daemon's own secret key."""
    name: str
    owner: str = "default"
    labels: tuple[str, ...] = ()
    slots: int | None = None


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A key that a daemon offers to a cluster: kept before it is sent, so that what died in between goes on with it."""

    address: str
    server: str
    by: str
    """The public key of the connection that it is offered by: an invitation's, the daemon's until then, or its own."""
    secret: str


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody hands on who lets a daemon join, as one line. Its secret key is good for one Join."""

    address: str
    server: str
    secret: str
    name: str | None = None

    def line(self) -> str:
        """The one line."""
        return _TOKEN + base64.urlsafe_b64encode(msgspec.msgpack.encode(self)).decode().rstrip("=")


def invitation(line: str) -> Invitation:
    """What a line of an invitation holds. Raises ConfigError when it is none."""
    text = line.strip().removeprefix(_TOKEN)
    try:
        if not line.strip().startswith(_TOKEN):
            raise ValueError
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Invitation)
    except (ValueError, msgspec.MsgspecError):
        raise ConfigError("that is no invitation; `makima daemon invite` on the cluster's machine prints one") from None


def key_pair() -> KeyPair:
    """A new one."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def public_of(secret: str) -> str:
    """The public key to a secret one."""
    return zmq.curve_public(secret.encode()).decode()


def fingerprint(public: str) -> str:
    """What people compare of a public key: 64 bits of its SHA-256, as `1a2b-3c4d-5e6f-7081`."""
    digest = hashlib.sha256(public.encode()).hexdigest()[:16]
    return "-".join(digest[at : at + 4] for at in range(0, 16, 4))


def server_keys(home: Path) -> KeyPair:
    """The broker's key pair, made when it isn't there. Raises ConfigError or OSError."""
    path = _server_path(home)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        replace(path, key_pair().secret.encode())
    secret = path.read_text()
    return KeyPair(public_of(secret), secret)


def write_admitted(home: Path, keys: Iterable[Admitted], asking: bool) -> None:
    """Let these connect from now on, and nobody else."""
    replace(admitted_path(home), msgspec.json.encode(AdmittedKeys(keys=tuple(keys), asking=asking)))


def read_admitted(home: Path) -> AdmittedKeys:
    """Who may connect; nobody where nothing is written. Raises ConfigError when it can't be read."""
    path = admitted_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=AdmittedKeys)
    except FileNotFoundError:
        return AdmittedKeys()
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} can't be read: {error}; the gateway writes it when it starts") from None


def admitted_path(home: Path) -> Path:
    """Where the gateway writes, of its rows, who may connect; the broker reads it when it has changed."""
    return home / "keys" / "link-admitted"


def keep_link(home: Path, link: Link) -> None:
    """Remember which cluster this home's daemon belongs to."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace(link_path(home), msgspec.json.format(msgspec.json.encode(link)))


def read_link(home: Path) -> Link | None:
    """The cluster on another machine that this home's daemon belongs to, if it does. Raises ConfigError."""
    path = link_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Link)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} can't be read: {error}; join again with `makima daemon join`") from None


def link_path(home: Path) -> Path:
    """Where a daemon keeps its link."""
    return home / "link.json"


def keep_pending(home: Path, pending: Pending) -> None:
    """Remember a key that is about to be offered, before it is."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace(pending_path(home), msgspec.json.encode(pending))


def read_pending(home: Path) -> Pending | None:
    """The key that was offered and not taken yet, if there is one. Raises ConfigError."""
    path = pending_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pending)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} can't be read: {error}; remove it") from None


def pending_path(home: Path) -> Path:
    """Where a daemon keeps a key that it offers."""
    return home / "link-pending.json"


def connect_by(socket: zmq.Socket[bytes], address: str, server: str, own: KeyPair) -> None:
    """Connect a DEALER to the broker's link under an identity that nobody can guess: what is sent here goes by it."""
    socket.setsockopt(zmq.IPV6, int("[" in address))
    socket.setsockopt(zmq.IDENTITY, b"\x01" + os.urandom(16))
    socket.setsockopt(zmq.CURVE_SERVERKEY, server.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret.encode())
    socket.connect(f"tcp://{address}")


def _server_path(home: Path) -> Path:
    return home / "keys" / "link"
