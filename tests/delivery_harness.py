"""A bare repository with step branches, and deliveries of them by the daemon's own code."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from services.daemon.delivery.delivering import Delivering
from services.daemon.delivery.scripts import Scripts
from services.daemon.runs.run import Place
from services.daemon.sandbox.choosing import chosen
from services.daemon.sandbox.views import Views
from services.daemon.workspaces.resolving import RunAgent
from services.daemon.workspaces.workspace import objects_of
from services.daemon.workspaces.workspaces import Workspaces
from shared.config import load
from shared.domain.delivery import Delivery, PullRequest, Result, StepBranch
from shared.domain.forge import Forge, forge_of
from shared.domain.ids import new_id
from shared.domain.names import delivery_branch, step_ref
from shared.messages.commands import SpawnTask
from tests.shell import sh as sh

TITLE = "A job"
Edit = Callable[[Path], object]


def write(name: str, text: str | bytes) -> Edit:
    """An edit that writes a file."""

    def edit(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    return edit


class DeliveryHarness:
    """A remote, a clone to make branches in, and a daemon's workspaces."""

    def __init__(self, folder: Path, base: Mapping[str, str | bytes], **settings: str) -> None:
        self.folder = folder
        self.remote = folder / "remote.git"
        self.clone = folder / "clone"
        sh(folder, "git", "init", "--quiet", "--bare", "-b", "main", str(self.remote))
        sh(folder, "git", "clone", "--quiet", str(self.remote), str(self.clone))
        sh(self.clone, "git", "config", "protocol.file.allow", "always")
        self.directive = new_id()
        self.settings = load(
            {
                "MAKIMA_HOME": str(folder / "h"),
                "MAKIMA_FORGE_PATIENCE_SECONDS": "20",
                "MAKIMA_SANDBOX_WRITABLE": str(folder),  # where checks leave marks
                **settings,
            }
        )
        self.workspaces = Workspaces(folder / "daemon", self.settings.step_refs)
        self.sandbox, self.views = chosen(self.settings), Views(self.settings, os.environ, folder / "daemon")
        self.said: list[str] = []
        self.steps: dict[str, StepBranch] = {}
        self.commit("main", *(write(name, text) for name, text in base.items()))

    @property
    def target(self) -> str:
        """The delivery's branch."""
        return delivery_branch(TITLE, self.directive)

    def commit(self, branch: str, *edits: Edit, start: str | None = None, ref: str | None = None) -> str:
        """A commit on a branch of the remote; its id."""
        if start is not None:
            steps = "+refs/makima/*:refs/remotes/origin/makima/*"
            sh(self.clone, "git", "fetch", "--quiet", "origin", "+refs/heads/*:refs/remotes/origin/*", steps)
            sh(self.clone, "git", "checkout", "--quiet", "-B", "work", f"origin/{start}")
        for edit in edits:
            edit(self.clone)
        sh(self.clone, "git", "add", "--all")
        sh(self.clone, "git", "commit", "--quiet", "--allow-empty", "-m", branch)
        sh(self.clone, "git", "push", "--quiet", "origin", f"HEAD:{ref or f'refs/heads/{branch}'}")
        return sh(self.clone, "git", "rev-parse", "HEAD")

    def step(self, name: str, *edits: Edit, start: str = "main") -> StepBranch:
        """A completed step with its branch."""
        branch = f"makima/{name}"
        head = self.commit(branch, *edits, start=start, ref=step_ref(branch, self.settings.step_refs))
        self.steps[name] = StepBranch(id=new_id(), name=name, branch=f"makima/{name}", head=head)
        return self.steps[name]

    def order(self, **more: object) -> Delivery:
        """The order to deliver all steps."""
        values = {"action": "deliver", "title": TITLE, "steps": tuple(self.steps.values()), **more}
        return Delivery(**values)  # type: ignore[arg-type]

    def command(self, order: Delivery, url: str | None = None, target: str | None = None) -> SpawnTask:
        """A completion task on this repository."""
        return SpawnTask(
            task=new_id(),
            attempt=1,
            owner="o",
            directive=self.directive,
            kind="completion",
            name="deliver",
            repository_url=url or str(self.remote),
            target_branch=target or self.target,
            delivery=order,
        )

    async def deliver(
        self, agent: RunAgent | None = None, url: str | None = None, free_slots: int = 0, **more: object
    ) -> Result:
        """Carry an order out."""
        return await self.carry_out(self.command(self.order(**more), url), agent, free_slots)

    async def carry_out(self, command: SpawnTask, agent: RunAgent | None = None, free_slots: int = 0) -> Result:
        """Carry out a command as the daemon does."""
        if not (self.folder / "daemon" / "worktrees").exists():
            await self.workspaces.remove_orphans()
        try:
            say, free = self.said.append, lambda: free_slots

            async def place(folder: Path, part: str) -> Place:
                return self._place(command, folder, part)

            scripts = Scripts(command, place, list, 60.0)
            return await Delivering(command, self.settings, self.workspaces, scripts.run, say, agent, free).carry_out()
        finally:
            await self.workspaces.discard(command)

    def _place(self, command: SpawnTask, folder: Path, part: str) -> Place:
        """Where a check runs: in the machine's sandbox, which shows it this folder."""
        cache = self.workspaces.cache(command)
        assert cache is not None
        view = self.views.of(f"{command.task.hex}-1-{part}", folder, self.folder / "runs" / part, objects_of(cache))
        return Place(task=command.task, attempt=1, view=view, sandbox=self.sandbox, part=part)

    def show(self, name: str, branch: str | None = None) -> str:
        """A file of a branch on the remote."""
        return sh(self.remote, "git", "show", f"{branch or self.target}:{name}")

    def files(self, branch: str | None = None) -> list[str]:
        """The files of a branch on the remote."""
        return sh(self.remote, "git", "ls-tree", "-r", "--name-only", branch or self.target).splitlines()

    def branches(self) -> list[str]:
        """The branches of the remote."""
        return sh(self.remote, "git", "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()

    def hook(self, name: str, script: str) -> None:
        """Give the remote a hook."""
        path = self.remote / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def pull_request(title: str = TITLE, body: str = "the body") -> PullRequest:
    """What a pull request is to say."""
    return PullRequest(title=title, body=body)


def forge(url: str) -> Forge:
    """The forge of an address that lies on one."""
    found = forge_of(url)
    assert found is not None
    return found
