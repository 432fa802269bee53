"""By what the broker, the monitors and the gateways call a daemon among those of all owners."""

from __future__ import annotations

import msgspec


class DaemonOf(msgspec.Struct, frozen=True):
    """A daemon: its owner's name, and its own among that owner's."""

    owner: str
    name: str


def identity_of(daemon: DaemonOf, own: str) -> str:
    """`NAME` for a daemon of the cluster's own owner, `OWNER/NAME` for another's: no daemon's name has a `/`.

    >>> identity_of(DaemonOf("default", "laptop"), "default"), identity_of(DaemonOf("web", "laptop"), "default")
    ('laptop', 'web/laptop')
    """
    return daemon.name if daemon.owner == own else f"{daemon.owner}/{daemon.name}"


def daemon_of(said: str, own: str) -> DaemonOf:
    """The daemon of an identity.

    >>> daemon_of("laptop", "default"), daemon_of("web/laptop", "default")
    (DaemonOf(owner='default', name='laptop'), DaemonOf(owner='web', name='laptop'))
    """
    owner, slash, name = said.rpartition("/")
    return DaemonOf(owner if slash else own, name)
