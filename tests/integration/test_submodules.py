"""Submodules: populated when a workspace begins, and what is done in one is on its remote before it is delivered."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from services.daemon.git.command import GitError
from services.daemon.workspaces import stand_in, submodules
from services.daemon.workspaces.submodules import resolved
from services.daemon.workspaces.work import Worked, push_to_remote
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed
from services.daemon.workspaces.workspaces import Workspaces
from shared.domain.delivery import Delivered
from shared.messages.commands import SpawnTask
from tests.delivery_harness import DeliveryHarness
from tests.workspace_harness import WorkspaceHarness, sh

pytestmark = pytest.mark.anyio
FILES = ("-c", "protocol.file.allow=always")


class Nested(WorkspaceHarness):
    """A shop whose repository has a submodule, which has one itself."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.inner = self.bare("inner")
        self.lib = self.bare("lib", self.inner)
        self.add(self.local, self.lib, "lib")
        self.publish("a submodule")

    def bare(self, name: str, inner: Path | None = None) -> Path:
        work = self.folder / f"{name}.work"
        sh(self.folder, "git", "init", "-q", "-b", "main", str(work))
        (work / "base.txt").write_text(f"{name}\n")
        if inner is not None:
            self.add(work, inner, "inner")
        sh(work, "git", "add", ".")
        sh(work, "git", "commit", "-qm", "init")
        sh(self.folder, "git", "clone", "-q", "--bare", str(work), f"{name}.git")
        return self.folder / f"{name}.git"

    def add(self, work: Path, remote: Path, path: str) -> None:
        sh(work, "git", *FILES, "submodule", "--quiet", "add", f"file://{remote}", path)

    def cloned(self, branch: str) -> Path:
        to = self.folder / "fresh"
        sh(
            self.folder,
            "git",
            *FILES,
            "clone",
            "-q",
            "-b",
            branch,
            "--recurse-submodules",
            f"file://{self.remote}",
            "fresh",
        )
        return to


@pytest.fixture
async def nested(tmp_path: Path) -> Nested:
    made = Nested(tmp_path)
    await made.workspaces.remove_orphans()
    return made


async def begun(shop: Nested, name: str = "one", **more: object) -> tuple[SpawnTask, Workspace, Worked, list[str]]:
    command, said = shop.command(name, **more), list[str]()
    made = await shop.workspaces.make(command, said.append)
    return command, made, Worked.of(made, command), said


async def ended(worked: Worked) -> None:
    await push_to_remote(worked, await worked.gather())


def commit(folder: Path, name: str) -> None:
    (folder / name).write_text(f"{name}\n")
    sh(folder, "git", "add", "--all")
    sh(folder, "git", "commit", "-qm", name)


async def test_a_workspace_begins_with_its_submodules_and_theirs(nested: Nested) -> None:
    _, made, worked, said = await begun(nested)
    assert (made.folder / "lib/base.txt").read_text() == "lib\n"
    assert (made.folder / "lib/inner/base.txt").read_text() == "inner\n"
    assert sh(made.folder, "git", "status", "--porcelain") == ""
    assert sh(made.folder, "git", "submodule", "status", "--recursive").count("\n") == 1
    assert not said
    assert (await worked.gather()).head == made.start


@pytest.mark.parametrize("bumped", [True, False], ids=["committed above", "left to the daemon"])
async def test_a_commit_in_a_submodule_can_be_cloned_once_the_step_is_pushed(nested: Nested, bumped: bool) -> None:
    _, made, worked, _ = await begun(nested)
    commit(made.folder / "lib", "new.txt")
    if bumped:
        sh(made.folder, "git", "commit", "-qam", "bump")
    await ended(worked)
    assert (nested.cloned("makima/one") / "lib/new.txt").read_text() == "new.txt\n"


async def test_files_left_over_in_a_submodule_of_a_submodule_are_no_less_work(nested: Nested) -> None:
    _, made, worked, _ = await begun(nested)
    (made.folder / "lib/inner/left.txt").write_text("left\n")
    await ended(worked)
    assert (nested.cloned("makima/one") / "lib/inner/left.txt").read_text() == "left\n"


async def test_a_step_whose_submodule_refuses_the_push_fails_with_its_words(nested: Nested) -> None:
    hook = nested.lib / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho closed for today >&2\nexit 1\n")
    hook.chmod(0o755)
    _, made, worked, _ = await begun(nested)
    commit(made.folder / "lib", "new.txt")
    with pytest.raises(
        WorkspaceFailed, match=r"submodule lib can't be pushed to its remote .*lib\.git.*closed for today"
    ):
        await ended(worked)
    assert "makima/one" not in sh(nested.remote, "git", "branch", "--list")


async def test_a_submodule_whose_remote_is_gone_is_said_and_left_empty(nested: Nested) -> None:
    shutil.rmtree(nested.lib)
    _, made, worked, said = await begun(nested)
    assert "the submodule lib is left empty" in said[0]
    assert list((made.folder / "lib").iterdir()) == []
    assert (await worked.gather()).head == made.start


async def test_submodules_are_left_alone_where_a_setting_says_so(nested: Nested, tmp_path: Path) -> None:
    nested.workspaces = Workspaces(tmp_path / "other", submodules=False)
    await nested.workspaces.remove_orphans()
    _, made, _, _ = await begun(nested)
    assert list((made.folder / "lib").iterdir()) == []


async def test_no_credentials_go_to_an_address_that_only_an_agent_names(nested: Nested) -> None:
    private = nested.bare("private")
    _, made, worked, _ = await begun(nested, "evil")
    sh(made.folder, "git", "config", "-f", ".gitmodules", "submodule.lib.url", f"file://{private}")
    await ended(worked)
    _, made, _, said = await begun(nested, "two", start_from="makima/evil")
    assert "the base branch doesn't name its address" in said[0]
    assert not (made.folder / "lib/base.txt").exists()


def link_the_folder(made: Workspace, victim: Path) -> None:
    shutil.rmtree(made.folder / "lib")
    (made.folder / "lib").symlink_to(victim)


def link_the_repository(made: Workspace, victim: Path) -> None:
    shutil.rmtree(made.folder / ".git/modules/lib")
    (made.folder / ".git/modules/lib").symlink_to(victim / ".git")


def link_all_repositories(made: Workspace, victim: Path) -> None:
    shutil.rmtree(made.folder / ".git/modules")
    (made.folder / ".git/modules").symlink_to(victim.parent)
    (victim.parent / "lib").symlink_to(victim / ".git")


@pytest.mark.parametrize("attack", [link_the_folder, link_the_repository, link_all_repositories])
async def test_links_lead_the_daemon_to_no_other_repository(nested: Nested, attack: object, tmp_path: Path) -> None:
    victim = tmp_path / "victims" / "home"
    victim.mkdir(parents=True)
    sh(victim, "git", "init", "-q")
    commit(victim, "secret.txt")
    _, made, worked, _ = await begun(nested)
    attack(made, victim)  # type: ignore[operator]
    with contextlib.suppress(WorkspaceFailed):
        await ended(worked)
    for remote in (nested.remote, nested.lib, nested.inner):
        assert "secret.txt" not in sh(remote, "git", "log", "--all", "--name-only", "--format=")


async def test_nothing_that_a_submodules_configuration_names_runs_in_the_daemon(nested: Nested, tmp_path: Path) -> None:
    _, made, worked, _ = await begun(nested)
    lib = made.folder / "lib"
    commit(lib, "new.txt")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\nexit 1\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "filter.x.clean", "core.hooksPath", "core.sshCommand", "remote.origin.receivepack"):
        sh(lib, "git", "config", key, str(trap))
    (tmp_path / "sprung").unlink(missing_ok=True)
    await ended(worked)
    assert not (tmp_path / "sprung").exists()
    assert (nested.cloned("makima/one") / "lib/new.txt").exists()


@pytest.mark.parametrize(
    "url", ["ext::sh -c id", "-oProxyCommand=id", "x::y", "/etc", "file:///etc", "ftp://h/r", "../../../.."]
)
def test_addresses_that_are_never_fetched_from(url: str) -> None:
    assert resolved("https://example.org/a.git", url) == ""


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", ".git", "a/.GIT/x"])
async def test_names_that_lead_out_of_the_repository_are_no_submodules(nested: Nested, name: str) -> None:
    text = f'[submodule "{name}"]\n\tpath = lib\n\turl = file://{nested.lib}\n'
    (nested.local / ".gitmodules").write_text(text)
    nested.publish("hostile")
    _, made, _, _ = await begun(nested)
    assert list((made.folder / "lib").iterdir()) == []


async def test_a_delivery_whose_submodule_nobody_can_clone_is_none(tmp_path: Path) -> None:
    shop = DeliveryHarness(tmp_path, {"a.txt": "a"})
    lib = tmp_path / "lib"
    sh(tmp_path, "git", "init", "-q", "-b", "main", "lib")
    commit(lib, "base.txt")
    sh(tmp_path, "git", "clone", "-q", "--bare", str(lib), "lib.git")
    shop.commit(
        "main", lambda folder: sh(folder, "git", *FILES, "submodule", "--quiet", "add", f"file://{lib}.git", "lib")
    )
    commit(lib, "new.txt")
    new = sh(lib, "git", "rev-parse", "HEAD")

    def bump(folder: Path) -> None:
        sh(folder / "lib", "git", "fetch", "-q", str(lib), "main")
        sh(folder / "lib", "git", "checkout", "-q", new)

    shop.step("one", bump)
    with pytest.raises(WorkspaceFailed, match=rf"commit {new[:12]} of the submodule lib is not on file://.*lib\.git"):
        await shop.deliver()
    assert shop.target not in shop.branches()
    sh(lib, "git", "push", "-q", f"{lib}.git", "HEAD:refs/heads/elsewhere")
    assert isinstance(await shop.deliver(), Delivered)
    sh(
        tmp_path,
        "git",
        *FILES,
        "clone",
        "-q",
        "-b",
        shop.target,
        "--recurse-submodules",
        f"file://{shop.remote}",
        "fresh",
    )
    assert (tmp_path / "fresh/lib/new.txt").read_text() == "new.txt\n"


async def proven(nested: Nested, command: SpawnTask, worked: Worked) -> None:
    """The end of a step as the daemon has it."""
    await push_to_remote(worked, await worked.gather(), partial(nested.workspaces.submodules_missing, command))


NOWHERE = "dead" * 10


def record(folder: Path, path: str, commit_: str) -> None:
    """Commit that a submodule is at a commit, whatever lies in its folder."""
    sh(folder, "git", "update-index", "--add", "--cacheinfo", f"160000,{commit_},{path}")
    sh(folder, "git", "commit", "-qm", f"{path} at {commit_[:4]}")


def at_nowhere(made: Workspace, _: Nested) -> str:
    record(made.folder, "lib", NOWHERE)
    return rf"commit {NOWHERE[:12]} of the submodule lib is not on file://.*lib\.git"


def its_own_at_nowhere(made: Workspace, _: Nested) -> str:
    record(made.folder / "lib", "inner", NOWHERE)
    return rf"commit {NOWHERE[:12]} of the submodule lib/inner is not on file://.*inner\.git"


def from_elsewhere(made: Workspace, shop: Nested) -> str:
    other = shop.bare("other")
    sh(made.folder, "git", "config", "-f", ".gitmodules", "submodule.lib.url", f"file://{other}")
    return r"of the submodule lib is not on file://.*other\.git: it isn't there for everybody"


def no_longer_named(made: Workspace, _: Nested) -> str:
    (made.folder / ".gitmodules").write_text("")
    return r"\.gitmodules names no submodule for lib, which is one"


def new_with_a_broken_one(made: Workspace, shop: Nested) -> str:
    broken = shop.bare("broken", shop.inner)
    record(shop.folder / "broken.work", "inner", NOWHERE)
    sh(shop.folder / "broken.work", "git", "push", "-q", str(broken), "HEAD:main")
    shop.add(made.folder, broken, "new")
    sh(made.folder, "git", "commit", "-qm", "new")
    return rf"commit {NOWHERE[:12]} of the submodule new/inner is not on file://.*inner\.git"


@pytest.mark.parametrize(
    "breaks", [at_nowhere, its_own_at_nowhere, from_elsewhere, no_longer_named, new_with_a_broken_one]
)
async def test_a_step_that_nobody_could_clone_is_refused_in_words(
    nested: Nested, breaks: Callable[[Workspace, Nested], str]
) -> None:
    command, made, worked, _ = await begun(nested)
    words = breaks(made, nested)
    with pytest.raises(WorkspaceFailed, match=words):
        await proven(nested, command, worked)
    assert "makima/one" not in sh(nested.remote, "git", "branch", "--list")


async def test_a_step_that_adds_a_submodule_with_one_of_its_own_can_be_cloned(nested: Nested) -> None:
    command, made, worked, _ = await begun(nested)
    nested.add(made.folder, nested.bare("other", nested.inner), "new")
    sh(made.folder, "git", "commit", "-qm", "new")
    commit(made.folder / "lib/inner", "deep.txt")
    await proven(nested, command, worked)
    fresh = nested.cloned("makima/one")
    assert (fresh / "new/inner/base.txt").exists() and (fresh / "lib/inner/deep.txt").exists()


async def test_a_step_that_removes_a_submodule_is_asked_for_nothing(nested: Nested) -> None:
    shutil.rmtree(nested.inner)
    command, made, worked, _ = await begun(nested)
    sh(made.folder, "git", "rm", "-qf", "lib")
    await proven(nested, command, worked)
    assert nested.files("makima/one") == [".gitmodules", "a.txt"]


async def test_a_submodules_remote_that_is_away_just_now_is_asked_again_later(
    nested: Nested, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, made, worked, _ = await begun(nested)
    record(made.folder, "lib", NOWHERE)

    async def away(*_: object) -> None:
        raise GitError(("fetch",), 128, "Could not resolve host: example.org")

    monkeypatch.setattr(submodules, "bring", away)
    with pytest.raises(WorkspaceFailed, match=r"the submodule lib can't be asked for: .*resolve host") as failed:
        await proven(nested, command, worked)
    assert not failed.value.permanent


async def test_an_agents_git_reaches_stand_ins_for_submodules_in_folders(nested: Nested, tmp_path: Path) -> None:
    _, made, _, _ = await begun(nested)
    there = await stand_in.make_all(tmp_path / "remotes", made)
    variables = [f"{key}={value}" for key, value in stand_in.leading_to(there).items()]
    assert len(there) == 3
    for remote in (nested.remote, nested.lib, nested.inner):
        remote.rename(remote.with_suffix(".hidden"))
    env = ("env", *variables, "git")
    sh(made.folder, *env, "submodule", "--quiet", "deinit", "-f", "lib")
    shutil.rmtree(made.folder / ".git/modules")
    sh(made.folder, *env, "submodule", "--quiet", "update", "--init", "--recursive")
    assert (made.folder / "lib/inner/base.txt").read_text() == "inner\n"
    commit(made.folder / "lib", "new.txt")
    sh(made.folder / "lib", *env, "push", "-q", "origin", "HEAD:refs/heads/mine")
    sh(made.folder, *env, "submodule", "--quiet", "update", "--remote")
    assert "mine" not in sh(nested.lib.with_suffix(".hidden"), "git", "branch", "--list")
