"""Docker: a container a program, from an image that the settings allow. https://docs.docker.com/engine/"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from services.daemon.processes.limits import NONE, ResourceLimits
from services.daemon.sandbox import system
from services.daemon.sandbox.described import VARIABLE, Bound, Description
from services.daemon.sandbox.environment import inside
from services.daemon.sandbox.sandbox import Confined, Kind, SandboxMissing
from services.daemon.sandbox.view import View

if TYPE_CHECKING:  # the library takes a fifth of a second to import: only a daemon that has containers does
    from docker import DockerClient

log = structlog.get_logger()

_OF_DAEMON, _OF_ATTEMPT, _IN = "makima.daemon", "makima.attempt", "makima.workspace"
"""Labels: whose a container is."""
_PATIENCE_SECONDS = 10
_ROOT = Path(__file__).parents[3]
_TEMPORARY = Path("/tmp")
_MARKS = ("MAKIMA_TASK_ID", "MAKIMA_ATTEMPT")
_RUN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from services.daemon.sandbox.container import main; sys.exit(main(sys.argv[1:]))"
)
"""`python -I`, which has the folder that it starts in not among those that it imports from: an agent writes there."""


@dataclass(frozen=True, kw_only=True)
class Docker:
    """Programs in containers of an engine on this machine, as the daemon's user, with no capability."""

    engine: str
    image: str
    daemon: str
    """Whose containers these are: another daemon's are left alone."""
    network: str = "bridge"
    """Of the engine's networks the one that an open network is."""
    cpus: float | None = None
    memory_bytes: int | None = None
    each: ResourceLimits = NONE
    """What each process is held to, and how many there may be."""

    @property
    def kind(self) -> Kind:
        """Which it is."""
        return "docker"

    @property
    def refuses(self) -> bool:
        """Whether there is an engine with the image is asked before each task."""
        return False

    @property
    def warning(self) -> str:
        """None."""
        return ""

    @property
    def private(self) -> bool:
        """Programs have the view's HOME."""
        return True

    @property
    def leads(self) -> bool:
        """No: what is inside outlives the process that is started, should that be killed, until `clear`."""
        return False

    @property
    def limits(self) -> bool:
        """The engine holds a container to them."""
        return True

    @property
    def holds(self) -> str:
        """What it holds."""
        return (
            f"docker: agents see a container of {self.image}, their workspace and a home of their own, "
            "but no other file and no other process of this machine"
        )

    def of(self, image: str) -> Docker:
        """The same with another image."""
        return replace(self, image=image)

    def check(self) -> None:
        """Ask the engine for the image. Blocking. Raises SandboxMissing."""
        from docker.errors import DockerException, ImageNotFound
        from requests.exceptions import RequestException

        from services.daemon.sandbox.container import in_words

        try:
            with _client(self.engine) as client:
                client.images.get(self.image)
        except ImageNotFound:
            raise SandboxMissing(
                f'sandbox = "docker": the engine has no image {self.image!r}; '
                f"get it with `docker pull {self.image}`, or name another in docker_image"
            ) from None
        except (DockerException, RequestException) as error:
            raise SandboxMissing(
                f'sandbox = "docker": no engine answers at {self.engine} ({in_words(error)}); start it and let this '
                "account use it, say in docker_host where it is, or choose another sandbox"
            ) from None

    def command(self, argv: Sequence[str], environment: Mapping[str, str], view: View) -> Confined:
        """A program that speaks for the one in the container (container.py)."""
        given = {name: value for name, value in inside(environment, view).items() if name != "PATH"}
        bound = tuple({bound.place: bound for bound in _bound(view)}.values())
        _places_in(view.scratch, bound)
        described = Description(
            engine=self.engine,
            image=self.image,
            name=f"makima-{self.daemon}-{view.name}-{secrets.token_hex(4)}",
            labels={_OF_DAEMON: self.daemon, _OF_ATTEMPT: view.name, _IN: str(view.workspace)},
            user=f"{os.getuid()}:{os.getgid()}",
            folder=str(view.workspace),
            environment=given,
            path=str(Path(sys.executable).parent),
            bound=bound,
            network=self.network if view.network == "open" else "none",
            cpus=self.cpus,
            memory_bytes=self.memory_bytes,
            processes=self.each.processes,
            limits=_of_each_process(self.each),
        )
        kept = {name: environment[name] for name in _MARKS if name in environment}
        return Confined(
            (sys.executable, "-I", "-c", _RUN, str(_ROOT), *argv),
            {**kept, VARIABLE: msgspec.json.encode(described).decode()},
        )

    async def clear(self, view: View) -> None:
        """Remove the containers of a run, should the process that speaks for one have been killed."""
        await asyncio.to_thread(self._remove, (f"{_OF_ATTEMPT}={view.name}", f"{_IN}={view.workspace}"))

    async def sweep(self, running: Collection[str]) -> None:
        """Remove what earlier lives of this daemon left."""
        await asyncio.to_thread(self._remove, (), running)

    def _remove(self, labels: tuple[str, ...], but_of: Collection[str] = ()) -> None:
        """Remove this daemon's containers with these labels, running or not."""
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        try:
            with _client(self.engine) as client:
                ours = {"label": [f"{_OF_DAEMON}={self.daemon}", *labels]}
                for found in client.api.containers(all=True, filters=ours):
                    attempt = found["Labels"][_OF_ATTEMPT]
                    if any(attempt == name or attempt.startswith(f"{name}-") for name in but_of):
                        continue
                    try:
                        client.api.remove_container(found["Id"], force=True, v=True)
                    except APIError as error:
                        if error.status_code not in (404, 409):  # it is gone, or being removed
                            raise
        except (DockerException, RequestException) as error:
            log.warning("containers not removed, which is tried again", error=str(error))


def _bound(view: View) -> Iterator[Bound]:
    """What of the machine is in a container, each at its own path. A later one of the same place counts."""
    for path in (*_interpreter(), *view.readable):
        if path.exists():
            yield Bound(source=str(path), place=str(path))
    for path in view.hidden:
        if system.beneath(path, view.readable):
            yield Bound(place=str(path))
    for path in view.readable:
        if system.beneath(path, view.hidden) and path.exists():
            yield Bound(source=str(path), place=str(path))
    yield Bound(source=str(view.scratch), place=str(_TEMPORARY), read_only=False)
    for path in (*view.writable, view.home, view.workspace, *view.sockets):
        if path.exists():
            yield Bound(source=str(path), place=str(path), read_only=False)


def _interpreter() -> tuple[Path, ...]:
    """What of makima's own Python lies in the system's folders, which are otherwise the image's."""
    parts = [Path(sysconfig.get_path("stdlib"))]
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        parts.append(Path(str(sysconfig.get_config_var("LIBDIR")), str(sysconfig.get_config_var("INSTSONAME"))))
    program = Path(sys.executable)
    while program.is_symlink():
        program = program.parent / program.readlink()
        parts.append(program)
    return tuple(path for path in parts if system.beneath(path, system.SYSTEM))


def _places_in(scratch: Path, bound: Iterable[Bound]) -> None:
    """Make the places that lie in /tmp, as the daemon's user: else the engine would, as root, and they would stay."""
    for one in bound:
        place = Path(one.place)
        if place == _TEMPORARY or not place.is_relative_to(_TEMPORARY):
            continue
        here = scratch
        *folders, last = place.relative_to(_TEMPORARY).parts
        for name in folders:
            here = here / name
            if here.is_symlink():
                break  # of an agent's making: the engine looks where it leads, inside
            here.mkdir(exist_ok=True)
        else:
            is_folder = one.source is None or Path(one.source).is_dir()
            here = here / last
            if not os.path.lexists(here):
                here.mkdir() if is_folder else here.touch()


def _of_each_process(limits: ResourceLimits) -> dict[str, int]:
    given = {
        "nofile": limits.open_files,
        "fsize": limits.file_mib and limits.file_mib << 20,
        "cpu": limits.cpu_seconds,
        "as": limits.address_space_mib and limits.address_space_mib << 20,
    }
    return {name: number for name, number in given.items() if number is not None}


@contextmanager
def _client(engine: str) -> Iterator[DockerClient]:
    import docker

    client = docker.DockerClient(base_url=engine, timeout=_PATIENCE_SECONDS)
    try:
        yield client
    finally:
        client.close()
