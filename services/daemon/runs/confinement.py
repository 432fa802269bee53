"""What holds the programs of one attempt: its sandbox, its network, its control groups."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from services.daemon.agents import held_keys
from services.daemon.processes import cgroups, limits
from services.daemon.processes.cgroups import Cgroups
from services.daemon.runs.run import Place
from services.daemon.sandbox.choosing import fitting, has_own_loopback, tightened
from services.daemon.sandbox.network import Access, Asked, Proxies, entries, open_network
from services.daemon.sandbox.sandbox import Sandbox
from services.daemon.sandbox.views import Views
from services.daemon.workspaces.beginning import configure_git
from services.daemon.workspaces.repository import RepositorySettings
from services.daemon.workspaces.workspace import objects_of
from shared.config import Settings
from shared.config.agents import AgentSettings
from shared.messages.commands import SpawnTask


class Confinement:
    """Made ready before the attempt's first program is placed, and closed after its last one."""

    def __init__(
        self,
        command: SpawnTask,
        settings: Settings,
        sandbox: Sandbox,
        views: Views,
        groups: Cgroups,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        """`folder` is of the attempt's runs; `say` gets what its log is to hold."""
        self._command = command
        self._settings = settings
        self._sandbox = sandbox
        self._views = views
        self._groups = groups
        self._folder = folder
        self._say = say
        self._network: Proxies | None = None
        self._group: Path | None = None
        self._agent: AgentSettings | None = None
        self._getting_ready = asyncio.Lock()

    @property
    def name(self) -> str:
        """What its groups and containers are known by on this daemon."""
        return f"{self._command.task.hex}-{self._command.attempt}"

    async def ready(self, repository: RepositorySettings, agent: AgentSettings) -> AgentSettings:
        """Get ready, once, as the repository wants it too; the agent, less a key that its network holds.

        Raises SandboxMissing, AgentFailed and OSError.
        """
        async with self._getting_ready:
            if self._agent is None:
                self._agent = await self._made_ready(repository, agent)
            return self._agent

    async def _made_ready(self, repository: RepositorySettings, agent: AgentSettings) -> AgentSettings:
        network = tightened(self._settings, repository.network)
        self._sandbox = await fitting(self._sandbox, self._settings, repository.image, network)
        held = held_keys.hold(agent, os.environ) if agent.proxy_holds_key else None
        gateway = self._command.environment.get("MAKIMA_API_URL", "")
        asked = Asked(
            network=network,
            allowed=entries(self._settings.network_presets, self._settings.network_hosts),
            key=held.key if held is not None else None,
            gateway=gateway if gateway.startswith("http") and has_own_loopback(self._sandbox, network) else None,
        )
        beside = self._folder.with_name(f"{self._folder.name}-net")
        self._network = await open_network(asked, beside, lambda words: self._say(f"[{words}]"))
        return held.agent if held is not None else agent

    def place(self, workspace: Path, cache: Path | None, part: str = "") -> Place:
        """Where programs of the attempt run, and what holds them; `part`: of those that run at the same time."""
        settings, command = self._settings, self._command
        name = f"{self.name}-{part}" if part else self.name
        borrowed = objects_of(cache) if cache is not None else ()
        view = self._views.of(name, workspace, self._folder / part, borrowed)
        own_git = configure_git(self._folder / part / "git", whole=settings.account_git_settings)
        place = Place(
            task=command.task,
            attempt=command.attempt,
            view=replace(view, writable=(*view.writable, own_git)),
            sandbox=self._sandbox,
            access=self._network.access if self._network is not None else Access(network=settings.network),
            environment={
                **(self._views.variables if self._sandbox.private else {}),
                "GIT_CONFIG_GLOBAL": str(own_git / "config"),
                "GIT_CONFIG_NOSYSTEM": "1",
            },
            programs=self._views.of_program,
            part=part,
            nice=settings.nice,
        )
        if self._sandbox.limits:
            return place
        memory = settings.agent_memory_mib and settings.agent_memory_mib << 20
        group = f"{self.name}/{part}" if part else self.name
        made = self._groups.make(group, memory, settings.agent_processes, settings.agent_cpus)
        self._group = self._group or made
        return replace(place, cgroup=made, memory_bytes=memory, limits=limits.of(settings))

    async def close(self) -> None:
        """End what leads to its network, and remove its groups."""
        if self._network is not None:
            await self._network.close()
        if self._group is not None:
            await cgroups.remove(self._group)
