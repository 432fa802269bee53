"""A daemon whose cluster is on another machine: what it has of its own besides what every daemon has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
import structlog

from services.daemon.link.git import GitOverLink
from services.daemon.link.rotation import Rotation
from services.daemon.link.streams import Streams
from shared.bus.link import Link
from shared.bus.over_link import OverLink
from shared.config import Settings
from shared.config.reading import read
from shared.messages.commands import AnyCommand, SpawnTask
from shared.messages.frames import UPWARD
from shared.messages.link import Downward, Joined, NotJoined, Upward

log = structlog.get_logger()


def as_joined(settings: Settings, link: Link, environment: Mapping[str, str]) -> Settings:
    """The settings as the cluster has it: name, owner, labels and slots. This machine may have fewer slots."""
    slots = settings.slots
    if link.slots is not None:
        slots = min(slots, link.slots) if "slots" in read(environment).values else link.slots
    return msgspec.structs.replace(
        settings, daemon_name=link.name, owner=link.owner, labels=link.labels, slots=max(1, slots)
    )


class Far:
    """The link of one daemon: its channel, its agents' requests, its keys."""

    def __init__(self, settings: Settings, link: Link) -> None:
        """Raises ConfigError when its address can't be one, and OSError."""
        self._settings = settings
        self._link = link
        self._bus = OverLink(link)
        self.channel = self._bus.channel(f"daemon/{link.name}")
        self._streams = Streams(settings.gateway_socket(), self._say, lambda: self.channel.standing == "up")
        self.channel.on_lost = self.broken_off
        self._rotation: Rotation | None = None
        self.git = GitOverLink(link.server)

    def work(self, hello: Callable[[], None], heard: Callable[[], int]) -> list[asyncio.Task[None]]:
        """Begin; what runs for ever. `hello` says who this is; `heard`: how many messages have come."""
        self._rotation = Rotation(self._settings.home, self._link, self.channel, self._say, hello, heard)
        working = (self._streams.serve(), self._streams.serve_git(self.git.bound), self._rotation.run())
        return [asyncio.create_task(one) for one in working]

    def on(self, message: Downward) -> None:
        """Take in what comes besides commands and acknowledgements."""
        if isinstance(message, Joined | NotJoined):
            if self._rotation is not None:
                self._rotation.on(message)
        else:
            self._streams.on(message)

    def broken_off(self) -> None:
        """What was on its way may be lost, or the broker is new: every stream begins anew."""
        self._streams.end_all()

    def here(self, command: AnyCommand) -> AnyCommand:
        """A command as it is meant on this machine: its agent reaches the gateway by our own socket, git by another."""
        if not isinstance(command, SpawnTask):
            return command
        command = self.git.here(command)
        address = f"unix://{self._settings.gateway_socket()}"
        return msgspec.structs.replace(command, environment={**command.environment, "MAKIMA_API_URL": address})

    def close(self) -> None:
        """Close every socket."""
        self._bus.close()
        self.git.close()

    async def _say(self, message: Upward) -> None:
        await self.channel.send("daemon.link", b"link", UPWARD.encode([message]))
