"""`makima db`: the database into a file, and from it into a new home."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.client import Failed
from cli.command import Arguments, add_verb, print_json, say, settings


def register(command: argparse.ArgumentParser) -> None:
    """Declare `db` and its verbs."""
    verbs = command.add_subparsers(required=True, metavar="VERB")
    backup = add_verb(
        verbs, "backup", _backup, "write all of it to a file, while the cluster runs", "makima db backup makima.dump"
    )
    backup.add_argument("file", type=Path, help="the file to write; it must not be there yet")
    restore = add_verb(
        verbs,
        "restore",
        _restore,
        "make a new home's database from such a file",
        "MAKIMA_HOME=~/again makima db restore makima.dump",
    )
    restore.add_argument("file", type=Path, help="the file that `backup` wrote")


def _backup(arguments: Arguments) -> int:
    from shared.store import backup

    try:
        backup.save(settings().postgres(), arguments.file.absolute())
    except backup.BackupFailed as error:
        raise Failed(f"{error}; is the cluster up?") from None
    size = arguments.file.stat().st_size
    if arguments.output == "json":
        return print_json({"file": str(arguments.file), "bytes": size})
    return say(f"{arguments.file}: {size:,} bytes")


def _restore(arguments: Arguments) -> int:
    from shared.config import ConfigError
    from shared.config.home import make_home
    from shared.store import backup

    found = settings()
    if found.postgres_url is not None:
        raise Failed("restore makes an embedded database; into another one, use pg_restore itself")
    try:
        make_home(found.home)
        backup.restore(found.home, arguments.file.absolute())
    except (backup.BackupFailed, ConfigError) as error:
        raise Failed(str(error)) from None
    if arguments.output == "json":
        return print_json({"home": str(found.home)})
    return say(f"restored to {found.home}; `makima up` carries on with it")
