"""Which sandbox this machine's agents run in: the one that the settings ask for, or the best that can be had."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Mapping

from services.daemon.processes import limits
from services.daemon.sandbox import bubblewrap, landlock
from services.daemon.sandbox.bare import Bare, Missing
from services.daemon.sandbox.docker import Docker
from services.daemon.sandbox.sandbox import Kind, Sandbox, SandboxMissing
from shared.config import Settings
from shared.domain.hosts import NETWORKS, Network, tighter

_FIX = "allow user namespaces to this account, or run a kernel with Landlock (Linux 6.2 or newer)"
_HELD: Mapping[Kind, tuple[Network, ...]] = {
    "bubblewrap": NETWORKS,
    "docker": NETWORKS,
    "landlock": ("open", "none"),
    "off": ("open",),
}
_NOT_HELD = {
    "landlock": "Landlock keeps programs from TCP ports, of whatever host, or from the network as a whole",
    "off": "without a sandbox nothing keeps programs from the network",
}


def chosen(settings: Settings) -> Sandbox:
    """The sandbox, tried by running something in it. One that can't be had refuses to run anything.

    Blocking: some 10 ms, or 50 where bubblewrap doesn't work. Whether Docker can be had is asked a task: its engine
    comes and goes.
    """
    if settings.sandbox == "docker":
        return docker(settings)
    refusals = []
    for kind, find in (("bubblewrap", bubblewrap.find), ("landlock", landlock.find)):
        if settings.sandbox in ("auto", kind):
            found = find()
            if not isinstance(found, str):
                return found
            refusals.append(found)
    why = f"{'; '.join(refusals)}: {_FIX}"
    match settings.sandbox:
        case "off":
            return Bare("the setting sandbox is off")
        case "auto":
            return Bare("this machine has none", why)
        case kind:
            return Missing(kind, f'sandbox = "{kind}" can\'t be had: {why}')


def docker(settings: Settings) -> Docker:
    """Containers as the settings ask for them."""
    daemon = f"{settings.home}\0{settings.daemon_name or socket.gethostname()}"
    return Docker(
        engine=settings.docker_host,
        image=settings.docker_image,
        daemon=hashlib.sha256(daemon.encode()).hexdigest()[:12],
        network=settings.docker_network,
        cpus=settings.agent_cpus,
        memory_bytes=settings.agent_memory_mib and settings.agent_memory_mib << 20,
        each=limits.of(settings),
    )


async def fitting(sandbox: Sandbox, settings: Settings, image: str | None, network: Network) -> Sandbox:
    """The sandbox for programs of one repository, which may name an image of its containers. Raises SandboxMissing."""
    if why := not_held(sandbox, network):
        raise SandboxMissing(why)
    if isinstance(sandbox, Docker):
        allowed = (settings.docker_image, *settings.docker_images)
        if image is not None and image not in allowed:
            raise SandboxMissing(
                f"the repository asks for the image {image!r}, but this daemon allows only {', '.join(allowed)}"
            )
        sandbox = sandbox.of(image or settings.docker_image)
        await asyncio.to_thread(sandbox.check)
    return sandbox


def not_held(sandbox: Sandbox, network: Network) -> str:
    """Why a sandbox can't hold programs to a network; empty where it can."""
    if network in _HELD[sandbox.kind]:
        return ""
    why = _NOT_HELD[sandbox.kind]
    return f'network = "{network}" can\'t be held here: {why}; it takes the sandbox bubblewrap or docker'


def has_own_loopback(sandbox: Sandbox, network: Network) -> bool:
    """Whether what listens on this machine's loopback is not reached by a program's own."""
    return sandbox.kind == "docker" or (sandbox.kind == "bubblewrap" and network != "open")


def tightened(settings: Settings, asked: Network | None) -> Network:
    """The network of programs of one repository, which may ask for a tighter one. Raises SandboxMissing."""
    if asked is None:
        return settings.network
    if not tighter(asked, settings.network):
        raise SandboxMissing(
            f'the repository asks for network = "{asked}", but this daemon allows only "{settings.network}": '
            "a repository may tighten it alone"
        )
    return asked
