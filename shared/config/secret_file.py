"""Secrets that the cluster makes for itself: random bytes, each in a file of this account's alone."""

from __future__ import annotations

import os
from pathlib import Path

from shared.config.errors import ConfigError
from shared.failpoints import hit

BYTES = 32


def kept(path: Path) -> bytes:
    """The secret of this file, which is made (mode 0600) when it isn't there: whoever is first makes it for all.

    Raises ConfigError when the file is empty, and OSError when it can be neither read nor made.
    """
    if not path.exists():
        draft = path.with_name(f".{path.name}-{os.getpid()}")
        draft.touch(mode=0o600)
        try:
            with draft.open("wb") as file:
                file.write(os.urandom(BYTES))
                file.flush()
                hit("secret.kept", "before_fsync")
                os.fsync(file.fileno())  # an empty file after a power cut would be a secret that everybody knows
                hit("secret.kept", "after_fsync")
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first: its secret counts
        finally:
            draft.unlink()
    return read(path)


def replace(path: Path, content: bytes) -> None:
    """Have a file of this account's alone (mode 0600) hold this: who reads it finds all of it or what was before."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        hit("secret.replace", "before_fsync")
        os.fsync(file.fileno())
        hit("secret.replace", "after_fsync")
    draft.rename(path)


def read(path: Path) -> bytes:
    """The secret of a file. Raises ConfigError when it is empty, and OSError when it can't be read."""
    if not (secret := path.read_bytes()):
        raise ConfigError(f"{path} is empty and keeps no secret; remove it, and start the cluster again")
    return secret
