"""A remote with one commit, and attempts at it in a daemon's workspaces."""

from __future__ import annotations

from pathlib import Path

from services.daemon.workspaces.work import Worked, push_to_remote
from services.daemon.workspaces.workspaces import Workspaces
from shared.domain.ids import new_id
from shared.messages.commands import SpawnTask
from tests.shell import sh as sh


class WorkspaceHarness:
    """A remote with one commit, and a daemon's workspaces."""

    def __init__(self, folder: Path) -> None:
        self.local = folder / "local"
        sh(folder, "git", "init", "--quiet", "-b", "main", "local")
        (self.local / "a.txt").write_text("a\n")
        sh(self.local, "git", "add", ".")
        sh(self.local, "git", "commit", "-qm", "first")
        self.remote = folder / "remote.git"
        sh(folder, "git", "clone", "--quiet", "--bare", str(self.local), str(self.remote))
        self.workspaces = Workspaces(folder / "d")

    def command(self, name: str, **more: object) -> SpawnTask:
        values: dict[str, object] = {"kind": "step", "branch": f"makima/{name}", "repository_url": str(self.remote)}
        return SpawnTask(
            task=new_id(),
            attempt=1,
            owner="o",
            directive=new_id(),
            name=name,
            **{**values, **more},  # type: ignore[arg-type]
        )

    async def work(self, command: SpawnTask, **files: str) -> tuple[str, ...]:
        """An attempt that writes files (`a` is a.txt) and leaves them uncommitted; the files changed."""
        made = await self.workspaces.make(command)
        for name, text in files.items():
            (made.folder / f"{name}.txt").write_text(text)
        worked = Worked.of(made, command)
        work = await worked.gather()
        await push_to_remote(worked, work)
        await self.workspaces.discard(command)
        assert not made.folder.exists()
        return work.files

    def publish(self, message: str) -> str:
        """Commit what lies in the person's copy, on the remote's main; the commit."""
        sh(self.local, "git", "add", "--all")
        sh(self.local, "git", "commit", "-qm", message)
        sh(self.local, "git", "push", "-q", str(self.remote), "HEAD:main")
        return sh(self.local, "git", "rev-parse", "HEAD")

    def files(self, branch: str) -> list[str]:
        return sh(self.remote, "git", "ls-tree", "-r", "--name-only", branch).splitlines()
