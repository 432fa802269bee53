"""Forges: which one a repository lies on, and whether an address is that of a pull request of it (rule 13). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

Kind = Literal["github", "gitlab", "gitea"]

_KNOWN_HOSTS: Mapping[str, Kind] = {"github.com": "github", "gitlab.com": "gitlab", "codeberg.org": "gitea"}
_TELLING_LABELS: Mapping[str, Kind] = {
    "github": "github",
    "gitlab": "gitlab",
    "gitea": "gitea",
    "forgejo": "gitea",
}
"""First label of a host's name, as in gitlab.example.org."""
_PULL_REQUEST: Mapping[Kind, str] = {"github": "pull", "gitlab": "-/merge_requests", "gitea": "pulls"}
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:@]+):(?P<path>[^/].*)")
_URL = re.compile(r"https?://[^\s\"'<>`()\[\]{}|\\^]+")


class Forge(msgspec.Struct, frozen=True, kw_only=True):
    """A repository on a forge. `host` has a port where the address named one; `path` is `owner/name` or deeper."""

    kind: Kind
    host: str
    path: str
    scheme: Literal["https", "http"] = "https"

    def pull_request_url(self, number: int) -> str:
        """The address of one of its pull requests."""
        return f"{self.scheme}://{self.host}/{self.path}/{_PULL_REQUEST[self.kind]}/{number}"


def forge_of(repository_url: str | None, hosts: Mapping[str, str] | None = None) -> Forge | None:
    """The forge of a repository's address; None for a path, and for a host that nobody knows.

    `hosts` says of further hosts what they are: a Kind, or "none".

    >>> forge_of("git@github.com:acme/shop.git")
    Forge(kind='github', host='github.com', path='acme/shop', scheme='https')
    """
    if not repository_url or not (found := _host_and_path(repository_url)):
        return None
    host, path = found
    bare = host.partition(":")[0]
    named = (hosts or {}).get(host) or (hosts or {}).get(bare)
    kind = named or _KNOWN_HOSTS.get(bare) or _TELLING_LABELS.get(bare.partition(".")[0])
    path = path.strip("/").removesuffix(".git").strip("/")
    parts = path.split("/")
    if len(parts) < 2 or any(p in ("", ".", "..") for p in parts) or (kind != "gitlab" and len(parts) != 2):
        return None
    match kind:
        case "github" | "gitlab" | "gitea":
            return Forge(
                kind=kind, host=host, path=path, scheme="http" if repository_url.startswith("http://") else "https"
            )
        case _:
            return None


def number_of(url: str, forge: Forge | None) -> int | None:
    """The number of a pull request whose address belongs to this repository on this forge; else None."""
    if forge is None or len(url) > 2000:
        return None
    try:
        parts = urlsplit(url.strip())
        host = parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or host.partition(":")[0] != forge.host.partition(":")[0]:
        return None
    pattern = rf"/{re.escape(forge.path)}/{re.escape(_PULL_REQUEST[forge.kind])}/([1-9][0-9]{{0,9}})(?:/.*)?"
    match = re.fullmatch(pattern, parts.path.rstrip("/"), re.IGNORECASE)
    return int(match[1]) if match else None


def pull_request_url(
    forge: Forge | None, result: str | None, told: str | None = None, output: Iterable[str] = ()
) -> str | None:
    """A directive's pull request: from the delivery's result, from what was told, from the output, newest line first.

    Each counts only if it belongs to the repository.
    """
    said = (url.rstrip(".,;:!?") for line in reversed(tuple(output)) for url in reversed(_URL.findall(line)))
    for candidate in (result, told, *said):
        if candidate and forge and (number := number_of(candidate, forge)):
            return forge.pull_request_url(number)
    return None


def _host_and_path(url: str) -> tuple[str, str] | None:
    if "://" in url:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return None
        if parts.scheme not in ("http", "https", "ssh", "git", "git+ssh") or not host:
            return None
        web = parts.scheme in ("http", "https")
        return (f"{host}:{port}" if web and port not in (None, 80, 443) else host), parts.path
    if match := _SCP.fullmatch(url):
        return match["host"].lower(), match["path"]
    return None
