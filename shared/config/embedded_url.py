"""How the embedded Postgres of a home is reached: by its socket, and a password that lies in the home."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from shared.config.sockets import short

SERVICES = "makima"
"""The role of the services: it owns the database, and is no superuser."""
SUPERUSER = "postgres"


def password_file(home: Path, role: str) -> Path:
    """Where a role's password lies, for this account alone."""
    return home / f"postgres.{role}.password"


def socket_folder(home: Path) -> Path:
    """Where the server's socket lies."""
    return home / "run" / "postgres"


def embedded_url(home: Path, database: str = "makima", role: str = SERVICES) -> str:
    """The URL of a database of the embedded server, good in this process."""
    try:
        password = password_file(home, role).read_text(encoding="ascii")
    except FileNotFoundError:
        password = ""  # no server was ever started here: connecting says that none listens
    folder = quote(str(short(socket_folder(home))), safe="/")
    return f"postgresql://{role}:{password}@/{database}?host={folder}"
