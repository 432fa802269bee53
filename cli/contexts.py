"""Contexts: gateways that somebody logged in to, by name, and which of them is in use. Both files are mode 0600.

makima/contexts.json, in the folder of one's configuration, has names, addresses and authorities, and no token;
makima/tokens/NAME a token, where the system has no keyring that can be used.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cli.failing import Failed
from cli.gateways import LOCAL, contexts_file

KEYRING, FILE, NOWHERE = "keyring", "file", "nowhere"
"""Where a token is."""
MOST_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


@dataclass(frozen=True)
class Context:
    """A gateway that somebody logged in to."""

    address: str
    """`https://HOST[:PORT]`, or http of this machine."""
    keeps: str
    """Where its token is; nowhere once it was logged out of."""
    person: str = ""
    """Who the gateway said that is, in words."""
    authority: str = ""
    """The certificates (PEM) of the authorities that count for it; empty: the system's."""


@dataclass
class Contexts:
    """All of them, and the name of the one in use; LOCAL when none is."""

    used: str = LOCAL
    known: dict[str, Context] = field(default_factory=dict)

    def named(self, name: str) -> Context:
        """The context of a name. Raises Failed."""
        from cli.text import clean

        if name in self.known:
            return self.known[name]
        there = ", ".join(sorted(self.known)) or "none"
        raise Failed(f"there is no context {clean(name)!r} (there is {there}); `makima login URL` makes one")


def load() -> Contexts:
    """What is kept. Raises Failed where it can't be read, or others could have written or read it."""
    path = contexts_file()
    text = _read_private(path)
    if text is None:
        return Contexts()
    try:
        kept = json.loads(text)
        known = {checked(name): Context(**one) for name, one in kept["contexts"].items()}
        return Contexts(str(kept["used"]), known)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Failed):
        raise Failed(f"{path} can't be read: remove it, and log in again") from None


@contextmanager
def changing() -> Iterator[Contexts]:
    """What is kept, to be changed: written when the block ends well, whole or not at all. One after the other."""
    from shared.config import secret_file

    folder = contexts_file().parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Failed(f"{folder} can't be made ({error.strerror}); set XDG_CONFIG_HOME") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        contexts = load()
        yield contexts
        known = {name: asdict(one) for name, one in contexts.known.items()}
        text = json.dumps({"used": contexts.used, "contexts": known}, indent=2)
        secret_file.replace(contexts_file(), text.encode() + b"\n")
    except OSError as error:
        raise Failed(f"{folder} can't be written ({error.strerror})") from None
    finally:
        os.close(lock)


@cache
def token_of(name: str) -> str:
    """The token that a context was logged in by. Raises Failed."""
    context = load().named(name)
    token = None
    if context.keeps == KEYRING:
        from cli import keyrings

        try:
            token = keyrings.find(_entry(name, context.address))
        except keyrings.Unusable as error:
            raise Failed(f"the keyring can't be asked for the token of {name} ({error})") from None
    elif context.keeps == FILE:
        token = _read_private(_token_file(name))
    if token is None:
        raise Failed(f"the context {name} has no token; makima login {context.address} --name {name}")
    return token


def keep_token(name: str, address: str, token: str) -> str:
    """Keep a token, in the keyring if there is one that can be used; where it is now. Raises OSError."""
    from cli import keyrings
    from shared.config import secret_file

    file = _token_file(name)
    try:
        keyrings.keep(_entry(name, address), token)
        file.unlink(missing_ok=True)
        return KEYRING
    except keyrings.Unusable:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret_file.replace(file, token.encode())
        return FILE


def forget_token(name: str, context: Context) -> None:
    """Keep it nowhere any more. Raises Failed where the keyring can't be asked to."""
    _token_file(name).unlink(missing_ok=True)
    if context.keeps == KEYRING:
        from cli import keyrings

        try:
            keyrings.forget(_entry(name, context.address))
        except keyrings.Unusable as error:
            raise Failed(f"the keyring can't be told to forget the token of {name} ({error})") from None


def _entry(name: str, address: str) -> str:
    """What a token is called in the keyring: an address that was changed in the file doesn't find it."""
    return f"{name} {address}"


def _token_file(name: str) -> Path:
    return contexts_file().parent / "tokens" / checked(name)


def checked(name: Any) -> str:  # noqa: ANN401 - whatever stands in the file
    """A name that a context can have, and a file of it. Raises Failed."""
    from cli.text import clean

    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == LOCAL:
        raise Failed(
            f"a context can't be called {clean(name)!r}: use up to 63 letters, digits, `.`, `_` and `-`; "
            f"{LOCAL} is this machine"
        )
    return name


def _read_private(path: Path) -> str | None:
    """A file that this account alone can read and write; None where there is none. Raises Failed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Failed(f"{path} can't be read ({error.strerror})") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Failed(f"{path} is no file; remove it, and log in again")
        if found.st_uid != os.geteuid():
            raise Failed(f"{path} belongs to another account: what it says doesn't count; remove it, and log in again")
        if found.st_mode & 0o077:
            mode = f"{stat.S_IMODE(found.st_mode):o}"
            raise Failed(f"{path} is open to other accounts (mode {mode}); chmod 600 it, if only you wrote it")
        return os.read(descriptor, MOST_BYTES).decode()
    except UnicodeDecodeError:
        raise Failed(f"{path} can't be read: it is no text") from None
    finally:
        os.close(descriptor)
