"""A session bus with a Secret Service on it, as desktops have: what `keyring` speaks to, by D-Bus.

It encrypts no session (the service may refuse that), and asks nobody to unlock anything. `silent` never answers.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jeepney import HeaderFields, Message, MessageType, new_error, new_method_return
from jeepney.low_level import Parser

SERVICE = "org.freedesktop.secrets"
COLLECTION = "/org/freedesktop/secrets/collection/login"
_SESSION, _NOTHING = "/org/freedesktop/secrets/session/1", "/"


class SecretService:
    """One. `kept` is what it keeps: attributes and the secret."""

    def __init__(self, path: Path, silent: bool = False) -> None:
        self.address = f"unix:path={path}"
        self.kept: dict[str, tuple[dict[str, str], bytes]] = {}
        self._silent = silent
        self._numbers = iter(range(1, 1000))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._meet, args=(peer,), daemon=True).start()

    def _meet(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            rest = _authenticate(peer)
            parser, serials = Parser(), iter(range(1, 1 << 30))
            parser.add_data(rest)
            while True:
                while (message := parser.get_next_message()) is not None:
                    if self._silent and message.header.fields[HeaderFields.member] != "Hello":
                        continue
                    peer.sendall(self._answered(message).serialise(next(serials)))
                if not (data := peer.recv(65536)):
                    return
                parser.add_data(data)

    def _answered(self, asked: Message) -> Message:
        assert asked.header.message_type is MessageType.method_call
        fields = asked.header.fields
        member, at = fields[HeaderFields.member], fields[HeaderFields.path]
        answer = getattr(self, f"_{member}", None)
        if answer is None:
            return new_error(asked, "org.freedesktop.DBus.Error.UnknownMethod", "s", (member,))
        signature, body = answer(at, *asked.body)
        if signature == "error":
            return new_error(asked, body, "s", ("no",))
        return new_method_return(asked, signature, body)

    # The members that are asked for, as D-Bus and the Secret Service call them.

    def _Hello(self, _: str) -> tuple[str, Any]:
        return "s", (":1.1",)

    def _AddMatch(self, _: str, __: str) -> tuple[str, Any]:
        return "", ()

    _RemoveMatch = _AddMatch

    def _NameHasOwner(self, _: str, name: str) -> tuple[str, Any]:
        return "b", (name == SERVICE,)

    def _ReadAlias(self, _: str, name: str) -> tuple[str, Any]:
        return "o", (COLLECTION if name == "default" else _NOTHING,)

    def _OpenSession(self, _: str, algorithm: str, __: object) -> tuple[str, Any]:
        if algorithm != "plain":
            return "error", "org.freedesktop.DBus.Error.NotSupported"
        return "vo", (("s", ""), _SESSION)

    def _Get(self, at: str, _: str, name: str) -> tuple[str, Any]:
        attributes = self.kept.get(at, ({}, b""))[0]
        told = {"Locked": ("b", False), "Label": ("s", "login"), "Attributes": ("a{ss}", attributes)}
        return "v", (told[name],)

    def _SearchItems(self, _: str, wanted: dict[str, str]) -> tuple[str, Any]:
        return "ao", ([path for path, (has, _) in self.kept.items() if wanted.items() <= has.items()],)

    def _Unlock(self, _: str, paths: list[str]) -> tuple[str, Any]:
        return "aoo", (paths, _NOTHING)

    def _CreateItem(self, at: str, about: dict[str, Any], secret: tuple[Any, ...], replace: bool) -> tuple[str, Any]:
        attributes = about["org.freedesktop.Secret.Item.Attributes"][1]
        same = [path for path, (has, _) in self.kept.items() if replace and has == attributes]
        path = same[0] if same else f"{at}/{next(self._numbers)}"
        self.kept[path] = (attributes, bytes(secret[2]))
        return "oo", (path, _NOTHING)

    def _GetSecret(self, at: str, session: str) -> tuple[str, Any]:
        return "(oayays)", ((session, b"", self.kept[at][1], "text/plain"),)

    def _Delete(self, at: str) -> tuple[str, Any]:
        del self.kept[at]
        return "o", (_NOTHING,)


def _authenticate(peer: socket.socket) -> bytes:
    """Take whoever comes; what they say after that."""
    said = b""
    while b"BEGIN\r\n" not in said:
        said += peer.recv(4096)
        while b"\r\n" in said and not said.startswith(b"BEGIN\r\n"):
            line, _, said = said.partition(b"\r\n")
            peer.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n" if b"AUTH" in line else b"AGREE_UNIX_FD\r\n")
    return said.removeprefix(b"BEGIN\r\n")


@contextlib.contextmanager
def secret_service(path: Path, silent: bool = False) -> Iterator[SecretService]:
    """One, within this context."""
    service = SecretService(path, silent)
    try:
        yield service
    finally:
        service.close()
