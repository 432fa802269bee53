"""What of the account's git configuration counts for the daemon: how a remote is reached, who commits, what is ignored.

Everything else of it (hooks, filters, aliases, signing, merge drivers) is without effect on what the daemon does.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

_COUNTS = ("author.", "committer.", "credential.", "http.", "protocol.", "safe.", "ssh.", "url.", "user.")
_COUNTS_TOO = frozenset({"core.excludesfile", "core.gitproxy", "core.sshcommand"})
_FOR_AGENTS = frozenset({"http.proxy", "http.sslcainfo", "http.sslcapath", "http.sslverify", "protocol.file.allow"})
_LFS = {
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.required": "true",
    "lfs.skipdownloaderrors": "true",
    "lfs.transfer.maxretries": "1",
}
"""For agents' git, as `git lfs install` has it: run where attributes ask for it. What it can't fetch, as without the
account's credentials, stays a pointer."""
_OF_THE_ACCOUNT = frozenset({"system", "global", "command"})
FALLBACK_NAME = "makima"
FALLBACK_EMAIL = "makima@localhost"


class Identity(msgspec.Struct, frozen=True):
    """Who commits."""

    name: str
    email: str


class Account(msgspec.Struct, frozen=True):
    """The settings that count, in git's order: later ones win."""

    settings: tuple[tuple[str, str], ...] = ()
    everything: tuple[tuple[str, str], ...] = ()
    """All that is configured, whether it counts or not."""

    @property
    def identity(self) -> Identity:
        """The account's; makima's where git's configuration names nobody, or only half."""
        name, email = self.last("user.name"), self.last("user.email")
        return Identity(name, email) if name and email else Identity(FALLBACK_NAME, FALLBACK_EMAIL)

    @property
    def names_somebody(self) -> bool:
        """Whether the identity is the account's own."""
        return bool(self.last("user.name") and self.last("user.email"))

    def last(self, key: str) -> str | None:
        """The value of a setting; of several the one that wins."""
        return next((value for name, value in reversed(self.settings) if name == key), None)

    def ignored(self, environment: Mapping[str, str]) -> str:
        """The patterns that the account ignores everywhere."""
        named = self.last("core.excludesfile")
        folder = environment.get("XDG_CONFIG_HOME") or "~/.config"
        try:
            return Path(named or f"{folder}/git/ignore").expanduser().read_text(errors="surrogateescape")
        except (OSError, RuntimeError):
            return ""


def for_agents(known: Account, ignored: Path, whole: bool = False) -> str:
    """A configuration for agents' git: who commits, how files and certificates are reached, what is ignored.

    What git-lfs keeps goes through its filter. Nothing that signs in anywhere. `whole`: all that the account has, its
    hooks, aliases and signing too.
    """
    who = known.identity
    kept = known.everything if whole else [entry for entry in known.settings if entry[0] in _FOR_AGENTS]
    own = (("user.name", who.name), ("user.email", who.email), ("core.excludesfile", str(ignored)), *_LFS.items())
    return "".join(written(key, value) for key, value in (*kept, *own))


class Configuration:
    """The account's configuration as far as it counts, in a file of the daemon's that its git reads instead.

    Made anew when a file of the account's has changed.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        """Where the file lies; a temporary folder where nobody names one."""
        self.file = Path()
        self._account = Account()
        self._state: object = None
        self._files: frozenset[Path] = frozenset()
        self._reading = threading.Lock()

    def read(self) -> Account:
        """What counts now."""
        with self._reading:
            return self._read()

    def _read(self) -> Account:
        environment = {k: v for k, v in os.environ.items() if k != "GIT_DIR"}
        if self._state is None or self._state != _state(environment, self._files):
            entries = list(_listed(environment))
            self._files = frozenset(Path(origin) for origin, _, _ in entries if origin)
            everything = tuple((key, value) for _, key, value in entries)
            self._account = Account(tuple(entry for entry in everything if _counts(entry[0])), everything)
            self._write()
            self._state = _state(environment, self._files)
        return self._account

    def _write(self) -> None:
        folder = self.folder = self.folder or Path(tempfile.mkdtemp(prefix="makima-git-"))
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "gitconfig"
        draft = folder / "gitconfig.new"
        text = "".join(written(key, value) for key, value in self._account.settings)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(text.encode(errors="surrogateescape"))
        draft.replace(self.file)


def written(key: str, value: str) -> str:
    """A setting as a configuration file has it.

    >>> written("url.https://x/.insteadof", 'a"b')
    '[url "https://x/"]\\n\\tinsteadof = "a\\\\"b"\\n'
    """
    section, _, rest = key.partition(".")
    subsection, _, name = rest.rpartition(".")
    head = f'{section} "{_escaped(subsection)}"' if subsection else section
    return f'[{head}]\n\t{name} = "{_escaped(value)}"\n'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")


def _counts(key: str) -> bool:
    return key in _COUNTS_TOO or key.startswith(_COUNTS)


def _listed(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """File, key and value of each setting."""
    asked = ("git", "config", "--list", "--includes", "--show-scope", "--show-origin", "-z")
    said = subprocess.run(asked, cwd="/", env=environment, capture_output=True, check=False).stdout
    parts = iter(said.decode(errors="surrogateescape").split("\0"))
    for scope, origin, entry in zip(parts, parts, parts, strict=False):
        key, newline, value = entry.partition("\n")
        if scope in _OF_THE_ACCOUNT:
            file = origin.removeprefix("file:") if origin.startswith("file:") else ""
            yield file, key, value if newline else "true"


def _state(environment: Mapping[str, str], files: frozenset[Path]) -> object:
    """What changes when the configuration does."""
    home = environment.get("HOME", "/")
    usual = (
        environment.get("GIT_CONFIG_GLOBAL") or f"{home}/.gitconfig",
        f"{environment.get('XDG_CONFIG_HOME') or f'{home}/.config'}/git/config",
        "/etc/gitconfig",
    )
    settings = tuple(sorted(item for item in environment.items() if item[0].startswith("GIT_CONFIG")))
    return settings, tuple(_stamp(path) for path in sorted({*map(Path, usual), *files}))


def _stamp(path: Path) -> tuple[str, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns


configuration = Configuration()
"""This process's."""


def account() -> Account:
    """The account's configuration as it stands now, as far as it counts."""
    return configuration.read()
