"""What an attempt works in: its folder and how it began; and why there is none, or its work can't be delivered."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from services.daemon.git.lfs import Home
from services.daemon.git.merging import MergeConflict, Tip
from services.daemon.git.store import Store

INDEXES = "indexes"
"""Where, below a daemon's folder, its own folders about workspaces lie."""
_BORROWS = "cache"


class WorkspaceFailed(RuntimeError):
    """Why a workspace can't be made or its work not delivered. `permanent`: trying again can't fix it."""

    def __init__(self, reason: str, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(reason)


@dataclass(frozen=True)
class Workspace:
    """An attempt's folder; with a repository, the cache that it borrows from, the commit it began at and its branch.

    The repository in the folder is the agent's: once an agent has been there, no git of the daemon runs in it.
    """

    folder: Path
    cache: Path | None = None
    start: str = ""
    branch: str = ""
    stopped: MergeConflict | None = None
    """A merge of the start that stopped in the folder: whoever works there resolves it first."""
    left: tuple[Tip, ...] = ()
    """What is to be merged after that."""
    ref: str = ""
    """The full name of the branch on the remote."""
    own: Path = Path()
    """The daemon's own folder about it, which no agent sees: the index that it began with, objects taken from it."""

    top: Path | None = None
    """Of a submodule: the folder of the workspace that it lies in."""
    inside: tuple[str, ...] = ()
    """Of a submodule: where its repository lies in that of the workspace."""
    modules: tuple[Submodule, ...] = ()
    """Those that were populated."""
    url: str = ""
    """Of the repository."""
    trusted: str = ""
    """The revision of the cache whose `.lfsconfig` counts."""
    large: frozenset[str] | None = None
    """The blobs of the files that git-lfs keeps, as they were at the start; None: it keeps none there."""

    @property
    def home(self) -> Home:
        """Where its large files are kept."""
        assert self.cache is not None
        return Home(self.cache, self.url, self.trusted)

    @property
    def git_folder(self) -> Path:
        """Where its repository is."""
        return (self.top or self.folder).joinpath(".git", *self.inside)

    @property
    def borrowed(self) -> tuple[Path, ...]:
        """The objects that its submodules' repositories borrow."""
        caches = (one.workspace.cache for one in self.modules)
        own = (place for cache in caches if cache is not None for place in objects_of(cache))
        return (*own, *(path for one in self.modules for path in one.workspace.borrowed))

    @property
    def index(self) -> Path:
        """The index as the workspace began, with what its files looked like."""
        return self.own / "index"

    @property
    def index_now(self) -> Path:
        """The index of what was found when it was looked at last, and of what was committed of that."""
        return self.own / "index.now"


@dataclass(frozen=True)
class Submodule:
    """A submodule that was populated: where in its workspace, from which address, and its own workspace."""

    path: str
    url: str
    workspace: Workspace


def objects_of(cache: Path) -> tuple[Path, ...]:
    """The folders of a cache that hold what a workspace borrows: git's objects, and large ones where there are any."""
    large = Store(cache).folder
    return (cache / "objects", large) if large.is_dir() else (cache / "objects",)


def alternates(cache: Path) -> str:
    """What `objects/info/alternates` says to borrow a cache's objects: a line, quoted where it must be."""
    place = str(cache / "objects")
    if "\n" in place:
        place = place.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        place = f'"{place}"'
    return f"{place}\n"


def note_borrowed(own: Path, cache: Path) -> None:
    """Note in the daemon's own folder about a workspace which cache it borrows from."""
    own.mkdir(parents=True, exist_ok=True)
    (own / _BORROWS).write_text(cache.name)


def borrowed_from(own: Path) -> frozenset[str]:
    """The names of the caches that a workspace and its submodules borrow from, as far as they were noted."""
    found = set()
    for note in (own / _BORROWS, *(own / "modules").glob(f"**/{_BORROWS}")):
        with contextlib.suppress(OSError):  # a folder, of a submodule with that name
            found.add(note.read_text())
    return frozenset(found)
