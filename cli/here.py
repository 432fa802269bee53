"""The repository that a command is given in: where its work begins, and where it ends."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cli.client import Failed
from cli.gateways import chosen
from cli.text import clean

REMOTE_SECONDS = 20.0
"""How long a remote may take to say which branches it has."""
_HEADS = "refs/heads/"


@dataclass(frozen=True)
class Repository:
    """What a directive is told of its repository, and what a person is told of that."""

    url: str
    base: str | None
    """None: the branch that the repository's HEAD names."""
    says: str
    ends: str
    folder: Path | None
    """Where its files are on this machine; None where they aren't."""
    left_out: str
    """What lies in the folder and isn't part of it; empty when nothing does."""


def find(named: str | None, base: str | None) -> Repository:
    """The named repository, else that of the current folder: its remote, where it has one. Raises Failed."""
    if named is not None and not exists(named):
        if named.startswith(("/", ".", "~")):
            raise Failed(f"there is no folder {clean(named)}")
        return _at(named, base, clean(named), None)
    folder = Path(named or ".").absolute()
    top = _top(folder)
    remote = _remote(top) if named is None else None
    if remote is None:
        return _itself(top, base)
    name, url = remote
    return _at(url, base, name, top, _not_there(top, name))


def refuse_a_folder_elsewhere(url: str) -> None:
    """Refuse a folder of this machine where the gateway is on another one. Raises Failed."""
    if exists(url) and (gateway := chosen()).elsewhere:
        raise Failed(
            f"{clean(url)} is a folder of this machine, and the gateway is at {gateway.address}: push it to where the "
            "daemons there can fetch it, and name that: --repo URL"
        )


def exists(path: str) -> bool:
    """Whether it is the path of something on this machine."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False  # no path at all: too long, or with a NUL


def _top(folder: Path) -> Path:
    """The repository that a folder lies in."""
    if not folder.is_dir():
        raise Failed(f"{clean(folder)} is a file: name the folder of a repository")
    if top := _asked(folder, "rev-parse", "--show-toplevel"):
        return Path(top)
    if _asked(folder, "rev-parse", "--is-bare-repository") == "true":
        return Path(_asked(folder, "rev-parse", "--absolute-git-dir"))
    raise Failed(f"{clean(folder)} is in no git repository: go into one, name one with --repo, or make one: git init")


def _itself(top: Path, base: str | None) -> Repository:
    """The repository in a folder; that of a linked worktree is the one that it belongs to."""
    common = Path(_asked(top, "rev-parse", "--path-format=absolute", "--git-common-dir") or top)
    main = common.parent if common.name == ".git" else common
    if base is None and main != top:
        base = _asked(top, "symbolic-ref", "--quiet", "--short", "HEAD") or None
    changed = _changed(top)
    return _at(str(main), base, clean(main), top, f"not committed, so no part of it: {changed}" if changed else "")


def _at(url: str, base: str | None, says: str, folder: Path | None, left_out: str = "") -> Repository:
    """The repository at an address, whose branches are looked at. Raises Failed."""
    refuse_a_folder_elsewhere(url)
    from shared.domain.forge import forge_of
    from shared.domain.texts import nearest, without_credentials

    head, branches = _branches(url)
    if not branches:
        raise Failed(f"{clean(without_credentials(url))} has no commit yet: make a first one, and push it")
    if base is not None and base not in branches:
        near = nearest(base, branches)
        fix = f"did you mean {clean(near)}?" if near else f"it has {', '.join(map(clean, sorted(branches)[:5]))}"
        raise Failed(f"there is no branch {clean(base)} in {clean(without_credentials(url))}: {fix}")
    forge = forge_of(url, _forges())
    if forge is not None:
        says, ends = f"{forge.path} on {forge.host}", "a pull request"
    elif exists(url):
        says, ends = clean(url), "a branch of it"
    else:
        says, ends = clean(without_credentials(url)), "a branch pushed there"
    return Repository(url, base, f"{says}, from {clean(base or head or 'its HEAD')}", ends, folder, left_out)


def _branches(url: str) -> tuple[str, set[str]]:
    """The branch that the HEAD of a repository names, and all of its branches. Raises Failed."""
    from shared.domain.texts import without_credentials

    shown = clean(without_credentials(url))
    try:
        done = _git(Path("/"), "ls-remote", "--symref", "--", url, "HEAD", f"{_HEADS}*", seconds=REMOTE_SECONDS)
    except subprocess.TimeoutExpired:
        raise Failed(
            f"{shown} did not answer within {REMOTE_SECONDS:g} s; --repo . works on this clone alone"
        ) from None
    if done.returncode:
        why = clean(done.stderr.strip().partition("\n")[0].removeprefix("fatal: ")) or "git says nothing of why"
        raise Failed(f"{shown} can't be read: {why}")
    lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    head = next((what[5 + len(_HEADS) :] for what, name in lines if name == "HEAD" and what.startswith("ref: ")), "")
    return head, {name.removeprefix(_HEADS) for _, name in lines if name.startswith(_HEADS)}


def _remote(top: Path) -> tuple[str, str] | None:
    """The name and the address of the remote that the current branch follows, else of origin, else of the only one."""
    remotes = _asked(top, "remote").split()
    branch = _asked(top, "symbolic-ref", "--quiet", "--short", "HEAD")
    followed = _asked(top, "config", f"branch.{branch}.remote") if branch else ""
    name = next((n for n in (followed, "origin", *(remotes if len(remotes) == 1 else ())) if n in remotes), None)
    if name is None:
        if remotes:
            raise Failed(
                f"which of its remotes is meant: {', '.join(map(clean, remotes))}? name its address: --repo URL"
            )
        return None
    url = _asked(top, "config", f"remote.{name}.url")
    return name, str((top / url).resolve()) if exists(str(top / url)) else url


def _not_there(top: Path, remote: str) -> str:
    """What of a clone its remote doesn't have."""
    ahead = _asked(top, "rev-list", "--count", "HEAD", "--not", f"--remotes={remote}")
    commits = f"{ahead} commit{'' if ahead == '1' else 's'}" if ahead not in ("", "0") else ""
    missing = " and ".join(part for part in (commits, _changed(top)) if part)
    return f"not on {clean(remote)}, so no part of it: {missing}" if missing else ""


def _changed(top: Path) -> str:
    lines = _asked(top, "status", "--porcelain", "--untracked-files=no").splitlines()
    return f"changes in {len(lines)} file{'' if len(lines) == 1 else 's'}" if lines else ""


def _forges() -> dict[str, str]:
    from cli.command import settings

    return dict(settings().forges)


def _asked(folder: Path, *arguments: str) -> str:
    """What git prints; empty when it fails."""
    done = _git(folder, *arguments)
    return done.stdout.strip() if done.returncode == 0 else ""


def _git(folder: Path, *arguments: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    quiet["GIT_SSH_COMMAND"] = os.environ.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise Failed("git is not on PATH: install your system's package git") from None
