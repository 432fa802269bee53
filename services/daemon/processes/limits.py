"""What the kernel holds each process of an agent to: resource limits, set by the shell that starts it. Pure."""

from __future__ import annotations

import resource
from collections.abc import Callable

import msgspec

from shared.config import Settings

_BLOCK_BYTES = 512
"""What sh counts files in."""


class ResourceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """None: as the daemon has it."""

    open_files: int | None = None
    file_mib: int | None = None
    processes: int | None = None
    cpu_seconds: int | None = None
    address_space_mib: int | None = None


NONE = ResourceLimits()


def of(settings: Settings) -> ResourceLimits:
    """Those that the settings ask for."""
    return ResourceLimits(
        open_files=settings.agent_open_files,
        file_mib=settings.agent_file_mib,
        processes=settings.agent_processes,
        cpu_seconds=settings.agent_cpu_seconds,
        address_space_mib=settings.agent_address_space_mib,
    )


def commands(limits: ResourceLimits, most: Callable[[int], int] = lambda kind: resource.getrlimit(kind)[1]) -> str:
    """The commands of sh that set them, each with its end; never over what the daemon itself may (`most`).

    >>> commands(ResourceLimits(open_files=64, processes=9), most=lambda _: -1)
    'ulimit -n 64; ulimit -u 9 2>/dev/null || ulimit -p 9; '
    """
    wanted = (
        (resource.RLIMIT_NOFILE, limits.open_files, 1, "ulimit -n {0}; "),
        (resource.RLIMIT_FSIZE, limits.file_mib, (1 << 20) // _BLOCK_BYTES, "ulimit -f {0}; "),
        (resource.RLIMIT_NPROC, limits.processes, 1, "ulimit -u {0} 2>/dev/null || ulimit -p {0}; "),  # bash's, dash's
        (resource.RLIMIT_CPU, limits.cpu_seconds, 1, "ulimit -t {0}; "),
        (resource.RLIMIT_AS, limits.address_space_mib, 1 << 10, "ulimit -v {0}; "),
    )
    said = []
    for kind, number, unit, command in wanted:
        if number is not None:
            bytes_a_unit = {resource.RLIMIT_FSIZE: _BLOCK_BYTES, resource.RLIMIT_AS: 1 << 10}.get(kind, 1)
            hard = most(kind)
            value = number * unit
            said.append(command.format(value if hard == resource.RLIM_INFINITY else min(value, hard // bytes_a_unit)))
    return "".join(said)
