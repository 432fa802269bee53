"""One repository, for one request: what there is, a fetch of it, a push to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from services.gateway.git import process
from services.gateway.git.exchange import Answer, Body, Refused
from services.gateway.git.process import Coming
from services.gateway.git.pushes import Commands, Malformed, line, refused
from services.gateway.git.rights import Rights
from services.gateway.rows.git import GitTask
from shared.domain.repositories import folder_of
from shared.failpoints import hit

Fence = Callable[[], Awaitable[object]]
"""Raises once the attempt that pushes has ended."""
MAX_ASKED_BYTES = 32 << 20
"""What a fetch may say that it wants and has."""
_UPLOAD, _RECEIVE = "git-upload-pack", "git-receive-pack"
_SERVICES: Mapping[bytes, str] = {f"service={name}".encode(): name for name in (_UPLOAD, _RECEIVE)}


@dataclass(frozen=True)
class Repository:
    """The folder that a task's directive names. `version`: of the protocol, that whoever asks speaks."""

    folder: Path
    version: str | None

    @classmethod
    async def of(cls, task: GitTask, version: str | None) -> Repository:
        """That of a task. Raises Refused where it is no folder, or isn't there."""
        folder = folder_of(task.repository_url)
        if folder is None:
            raise Refused(HTTPStatus.NOT_FOUND, "the directive's repository has an address of its own")
        if not await asyncio.to_thread(folder.is_dir):
            raise Refused(HTTPStatus.NOT_FOUND, f"the repository {folder} isn't on the cluster's machine")
        return cls(folder, version)

    async def advertise(self, query: bytes, body: Body, answer: Answer) -> None:
        """Say what there is."""
        service = _SERVICES.get(query)
        if service is None:
            raise Refused(HTTPStatus.FORBIDDEN, f"no service but {_UPLOAD} and {_RECEIVE} is there")
        version = self.version if service == _UPLOAD else None
        told = b"" if version == "version=2" else line(f"# service={service}\n".encode()) + b"0000"
        answer.holds(f"{service}-advertisement", told)
        arguments = (*_arguments(service), "--advertise-refs", str(self.folder))
        await process.serve(arguments, (), Coming(body.parts(), body.gone), answer.part, version)
        await answer.end()

    async def fetch(self, body: Body, answer: Answer) -> None:
        """Answer what a fetch asks."""
        answer.holds(f"{_UPLOAD}-result")
        coming = Coming(body.unpacked(MAX_ASKED_BYTES), body.gone)
        await process.serve((*_arguments(_UPLOAD), str(self.folder)), (), coming, answer.part, self.version)
        await answer.end()

    async def push(self, rights: Rights, body: Body, answer: Answer, still_live: Fence) -> None:
        """Take a push of what may be pushed; of any other nothing.

        git gets the last part of it once it is all there and `still_live` has raised nothing: what is cut off moves no
        ref, nor does what was pushed for an attempt that has ended meanwhile.
        """
        parts, commands = body.parts(), Commands()
        async for part in parts:
            if commands.feed(part):
                break
        else:
            raise Malformed("it ends before its commands do")
        if rights.to_head:
            rights = rights.with_head(await self._head())
        if why := rights.objections(commands.found):
            await self._refuse(commands, why, answer)
            return
        answer.holds(f"{_RECEIVE}-result")
        coming = Coming(_whole(bytes(commands.raw), parts, still_live), body.gone)
        settings = () if rights.rewrites else (("receive.denyNonFastForwards", "true"),)
        hit("gateway.git.push", "before")
        await process.serve((*_arguments(_RECEIVE), str(self.folder)), settings, coming, answer.part)
        hit("gateway.git.push", "after")
        await answer.end()

    async def _refuse(self, commands: Commands, why: Mapping[str, str], answer: Answer) -> None:
        if not commands.takes_words:
            raise Refused(HTTPStatus.FORBIDDEN, "; ".join(f"{ref}: {reason}" for ref, reason in why.items()))
        answer.holds(f"{_RECEIVE}-result")
        await answer.part(refused(commands, why))
        await answer.end()

    async def _head(self) -> str | None:
        """The branch at HEAD, by its full name."""
        said = await process.ask("ls-remote", "--symref", str(self.folder), "HEAD")
        named = (entry.removeprefix("ref: ").partition("\t")[0] for entry in said.splitlines())
        return next((name for name in named if name.startswith("refs/heads/")), None)


def _arguments(service: str) -> tuple[str, ...]:
    return (service.removeprefix("git-"), "--stateless-rpc")


async def _whole(first: bytes, parts: AsyncIterator[bytes], still_live: Fence) -> AsyncIterator[bytes]:
    """All parts; the last one once it is known to be the last, and nothing has been raised."""
    waiting = first
    async for part in parts:
        yield waiting
        waiting = part
    await still_live()
    yield waiting
