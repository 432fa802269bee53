"""The system's keyring, where one is usable. It may take its time, since it may ask a person; it is given only so much.

Backends are chosen here and not by the user's settings of `keyring`: one that keeps plain text, or that asks on a
terminal, is none.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

A = TypeVar("A")
SERVICE = "makima"
PATIENCE_SECONDS = 20.0
"""As long as somebody may take to unlock it."""
_BACKENDS = (
    "macOS.Keyring",
    "Windows.WinVaultKeyring",
    "SecretService.Keyring",
    "libsecret.Keyring",
    "kwallet.DBusKeyring",
)


class Unusable(Exception):
    """There is no keyring here, or it doesn't answer."""


def keep(entry: str, token: str) -> None:
    """Keep a token under a name. Raises Unusable."""
    _within(lambda: _backend().set_password(SERVICE, entry, token))
    if find(entry) != token:
        raise Unusable("it doesn't give back what it was given")


def find(entry: str) -> str | None:
    """The token of a name; None where it keeps none. Raises Unusable."""
    return _within(lambda: _backend().get_password(SERVICE, entry))


def forget(entry: str) -> None:
    """Keep it no more. Raises Unusable."""
    if find(entry) is not None:
        _within(lambda: _backend().delete_password(SERVICE, entry))


def _backend() -> KeyringBackend:
    for named in _BACKENDS:
        module, _, name = named.partition(".")
        try:
            kind: type[KeyringBackend] = getattr(importlib.import_module(f"keyring.backends.{module}"), name)
            if kind.viable:
                return kind()
        except (ImportError, AttributeError):
            continue
    raise Unusable("there is none")


def _within(ask: Callable[[], A]) -> A:
    """What it answers. A keyring that doesn't is left alone: its thread ends with the process."""
    answers: list[A] = []
    errors: list[Exception] = []

    def asking() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            errors.append(error)

    thread = threading.Thread(target=asking, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    if answers:
        return answers[0]
    why = f"{type(errors[0]).__name__}: {errors[0]}" if errors else f"it didn't answer within {PATIENCE_SECONDS:g} s"
    raise Unusable(why)
