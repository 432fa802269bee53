"""`makima daemon install`: the system starts this home's daemon, and starts it again, from now on."""

from __future__ import annotations

import os
import plistlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.client import Failed
from cli.command import Arguments, add_verb, say
from cli.gateways import home

if TYPE_CHECKING:
    from cli.command import Verbs

LABEL = "makima-daemon"
_KEPT = ("MAKIMA_CONFIG", "MAKIMA_RUN", "PATH", "XDG_CONFIG_HOME")
"""Of this shell's variables: where settings, agents and git are. None of them holds a secret."""
_MAC = "darwin"


def register(verbs: Verbs) -> None:
    """Declare it."""
    says = "have the system run this home's daemon: a unit of systemd's, or of launchd's on macOS"
    install = add_verb(verbs, "install", _install, says, "makima daemon install", "makima daemon install --print")
    install.add_argument("--print", action="store_true", help="only print the unit")


def _install(arguments: Arguments) -> int:
    variables = {"MAKIMA_HOME": str(home()), "PYTHONPATH": str(Path(__file__).parents[1]), **_kept(os.environ)}
    argv = [sys.executable, "-P", "-m", "cli", "daemon", "run"]
    mac = sys.platform == _MAC
    text = plist(argv, variables) if mac else unit(argv, variables)
    if arguments.print:
        return say(text.rstrip())
    path = _place(os.environ, mac)
    _write(path, text, variables["MAKIMA_HOME"])
    say(f"written: {path}\nto start it now and whenever this machine starts:")
    return say("\n".join(f"  {command}" for command in (_enabling_launchd(path) if mac else _ENABLING_SYSTEMD)))


_ENABLING_SYSTEMD = (
    "systemctl --user daemon-reload",
    f"systemctl --user enable --now {LABEL}",
    "loginctl enable-linger    # so that it runs while you aren't logged in",
    f"journalctl --user -u {LABEL} -f    # what it says",
)


def unit(argv: Sequence[str], variables: Mapping[str, str]) -> str:
    """A unit of systemd's.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html
    """
    environment = "\n".join(f"Environment={_quoted(f'{name}={value}')}" for name, value in variables.items())
    command = " ".join(_quoted(word).replace("$", "$$") for word in argv)
    return f"""\
[Unit]
Description=makima's daemon
StartLimitIntervalSec=0

[Service]
{environment}
ExecStart={command}
Restart=always
RestartSec=2
KillMode=mixed
TimeoutStopSec=20
Delegate=yes

[Install]
WantedBy=default.target
"""


def plist(argv: Sequence[str], variables: Mapping[str, str]) -> str:
    """A launch agent of launchd's: launchd.plist(5)."""
    log = str(Path(variables["MAKIMA_HOME"]) / "daemon.log")
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(argv),
        "EnvironmentVariables": dict(variables),
        "RunAtLoad": True,
        "KeepAlive": True,
        "StandardErrorPath": log,
        "StandardOutPath": log,
    }
    return plistlib.dumps(agent).decode()


def _quoted(word: str) -> str:
    """A word as systemd reads it back."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"'


def _kept(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in _KEPT if name in environment}


def _place(environment: Mapping[str, str], mac: bool) -> Path:
    own = Path(environment.get("HOME") or "~").expanduser()
    if mac:
        return own / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    return Path(environment.get("XDG_CONFIG_HOME") or own / ".config") / "systemd" / "user" / f"{LABEL}.service"


def _write(path: Path, text: str, of_home: str) -> None:
    if path.exists() and f"{of_home}" not in path.read_text():
        raise Failed(f"{path} is for the daemon of another home; remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _enabling_launchd(path: Path) -> tuple[str, ...]:
    return (f"launchctl bootstrap gui/$(id -u) '{path}'", f"launchctl kickstart -k gui/$(id -u)/{LABEL}")
