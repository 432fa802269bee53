"""Large objects of a remote: fetched, uploaded and proven to be there by git-lfs, in a repository made for that alone.

That repository holds nothing but pointers, and what the daemon wrote into its configuration: no `.lfsconfig` of a
commit, no filter and no hook is ever in it. It goes with its folder.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.daemon.git.account import written
from services.daemon.git.command import GitError, git, git_fed, is_transient, names, network_limits
from services.daemon.git.pointers import Pointer
from services.daemon.git.store import Store
from shared.domain.repositories import is_over_link

FILE = ".lfsconfig"
AT_ONCE = 500
"""Objects that are named in one command."""
_INSTEAD = ("lfs.url", "remote.origin.lfsurl")
_REF = "refs/makima/pointers"
_PLACES = ("lfs.url", "lfs.pushurl", "remote.origin.lfsurl", "remote.origin.lfspushurl")
_LINK = "120000"


class NotTrusted(RuntimeError):
    """The base branch names a place for large objects that the daemon doesn't go to."""


class NotServed(NotTrusted):
    """Large objects of a folder of another machine, which only its own git-lfs reaches."""


@dataclass(frozen=True)
class Home:
    """Where a repository's large objects are: the daemon's copy of it, its address, and the revision in that copy whose
    `.lfsconfig` counts, if any."""

    cache: Path
    url: str
    trusted: str = ""

    @property
    def store(self) -> Store:
        """The daemon's own copies."""
        return Store(self.cache)

    async def places(self) -> dict[str, str]:
        """The places that are named instead of the remote's own. Raises NotTrusted, and NotServed."""
        named = await places_of(self.cache, self.trusted) if self.trusted else {}
        for key, place in named.items():
            if not _is_fit(place, self.url):
                raise NotTrusted(
                    f"{FILE} of the base branch names {key} = {place}: large files are kept at an https address, or on "
                    "the remote's own host"
                )
        if is_over_link(self.url) and named.keys().isdisjoint(_INSTEAD):
            raise NotServed(
                "large files (git-lfs) of a repository that is a folder of the cluster's machine aren't served to "
                "other machines: run its steps there, or give the directive an address that has them"
            )
        return named


def is_installed() -> bool:
    """Whether this machine has git-lfs."""
    return shutil.which("git-lfs") is not None


async def places_of(cache: Path, revision: str) -> dict[str, str]:
    """What a revision's `.lfsconfig` says to a clone of where large objects are."""
    try:
        listed = await git(cache, "ls-tree", revision, "--", FILE)
    except GitError:  # there is no such revision here, and so it says nothing
        return {}
    if listed.startswith(_LINK):
        return {FILE: "what a link leads to"}
    try:
        entries = await names(cache, "config", f"--blob={revision}:{FILE}", "-z", "--list") if listed else []
    except GitError:
        return {FILE: "what git can't read"}  # somebody else's git may make something of it
    said = dict[str, str]()
    for key, _, value in (entry.partition("\n") for entry in entries):
        if key in _PLACES:
            said[key] = f"{said[key]}, {value}" if key in said else value
    return said


async def fetch(home: Home, pointers: Collection[Pointer]) -> str:
    """Bring objects into the store, as far as the remote has them; what it said of the others, if of any.

    Raises GitError when it can't be reached, NotTrusted, and OSError.
    """
    async with _scratch(home, pointers) as scratch:
        said = ""
        try:
            await git(scratch, "lfs", "fetch", "origin", _REF)
        except GitError as error:
            if is_transient(error):
                raise
            said = words(error)
        await asyncio.to_thread(_move_in, Store(scratch), home.store, pointers)
    return said


async def upload(home: Home, pointers: Collection[Pointer]) -> None:
    """Have the remote store objects of the store, those that it doesn't have yet. Raises GitError and NotTrusted."""
    oids = sorted({pointer.oid for pointer in pointers})
    async with _scratch(home, ()) as scratch:
        (scratch / "lfs").mkdir()
        (scratch / "lfs" / "objects").symlink_to(home.store.folder)
        for at in range(0, len(oids), AT_ONCE):
            await git(scratch, "lfs", "push", "--object-id", "origin", *oids[at : at + AT_ONCE])


async def lacking(home: Home, pointers: Collection[Pointer]) -> tuple[set[Pointer], str]:
    """Those of the objects that the remote does not have, and what it said of them.

    It is asked whether it wants them, by a git-lfs that has none: one that must not be uploaded is there. Where that
    can't be asked (the remote is a folder) or isn't so, they are fetched. Raises GitError and NotTrusted.
    """
    if not pointers:
        return set(), ""
    async with _scratch(home, pointers) as scratch:
        try:
            await git(scratch, "lfs", "push", "origin", _REF)
        except GitError as error:
            if is_transient(error):
                raise
        else:
            return set(), ""
        said = ""
        try:
            await git(scratch, "lfs", "fetch", "origin", _REF)
        except GitError as error:
            if is_transient(error):
                raise
            said = words(error)
        there = Store(scratch)
        return {pointer for pointer in pointers if not there.has(pointer)}, said


def words(error: GitError) -> str:
    """What git-lfs said, on one line and without its progress."""
    lines = (line.strip() for line in error.said.replace("\r", "\n").splitlines())
    beside = ("fetch:", "hint:", "Uploading LFS", "Downloading LFS", "Errors logged", "Use `git lfs logs")
    kept = [line for line in lines if line and not line.startswith(beside)]
    return "; ".join(dict.fromkeys(kept)) or f"exit code {error.code}"


def _is_fit(place: str, remote: str) -> bool:
    there, here = urlsplit(place), urlsplit(remote)
    return there.scheme == "https" or (there.scheme, there.hostname) == (here.scheme, here.hostname) != ("", None)


def _move_in(found: Store, store: Store, pointers: Collection[Pointer]) -> None:
    for pointer in pointers:
        if found.has(pointer):
            with found.path(pointer.oid).open("rb") as file:
                store.take(file.fileno(), pointer)


@asynccontextmanager
async def _scratch(home: Home, pointers: Collection[Pointer]) -> AsyncIterator[Path]:
    """A bare repository with a commit of these pointers, whose origin is the remote."""
    settings = {"remote.origin.url": home.url, **_settings(), **await home.places()}
    with tempfile.TemporaryDirectory(dir=home.store.beside(), ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        for part in ("objects", "refs"):
            (scratch / part).mkdir()
        (scratch / "HEAD").write_text("ref: refs/heads/none\n")
        text = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
        text += "".join(written(key, value) for key, value in settings.items())
        (scratch / "config").write_bytes(text.encode(errors="surrogateescape"))
        if pointers:
            await git_fed(scratch, _as_commit(pointers), "fast-import", "--quiet")
        yield scratch


def _as_commit(pointers: Collection[Pointer]) -> bytes:
    """What git fast-import makes a commit of that holds them (gitformat: git-fast-import)."""
    head = f"commit {_REF}\ncommitter makima <makima@localhost> 0 +0000\ndata 0\n".encode()
    files = (b"M 100644 inline %b-%d\ndata %d\n%b\n" % (p.oid.encode(), p.size, len(p.text), p.text) for p in pointers)
    return head + b"".join(files)


def _settings() -> Mapping[str, str]:
    silent = f"{max(1, round(network_limits.silent))}"
    return {
        "lfs.repositoryformatversion": "0",
        "lfs.activitytimeout": silent,
        "lfs.dialtimeout": silent,
        "lfs.tlstimeout": silent,
        "lfs.allowincompletepush": "false",
        "lfs.basictransfersonly": "true",
        "lfs.locksverify": "false",
        "lfs.transfer.maxretries": "3",
    }
