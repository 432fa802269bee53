"""What a sandbox is: a way to start a program so that it is held to a view."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from services.daemon.sandbox.view import View

Kind = Literal["bubblewrap", "landlock", "docker", "off"]


class SandboxMissing(RuntimeError):
    """A sandbox that was asked for by name can't be had: which, why, and the fix. Nothing is run without it."""


@dataclass(frozen=True)
class Confined:
    """How to start a program inside. The environment is the whole of it."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


class Sandbox(Protocol):
    """One kind of sandbox, as it can be had on this machine."""

    @property
    def kind(self) -> Kind:
        """Which it is."""

    @property
    def holds(self) -> str:
        """What it holds and what it doesn't, in a sentence for people."""

    @property
    def warning(self) -> str:
        """What everybody has to be told: that there is none, though nobody asked for that. Else empty."""

    @property
    def refuses(self) -> bool:
        """Whether nothing can run: it was asked for by name, and can't be had."""

    @property
    def private(self) -> bool:
        """Whether programs get the view's HOME and temporary folder. If not, they have the account's own."""

    @property
    def leads(self) -> bool:
        """Whether the process that is started is the sandbox's own, whose death takes all that is inside along."""

    def command(self, argv: Sequence[str], environment: Mapping[str, str], view: View) -> Confined:
        """How to start a program so that it is held to a view. Raises SandboxMissing."""

    @property
    def limits(self) -> bool:
        """Whether it holds programs to memory, processors, processes and files itself, as the settings ask."""

    async def clear(self, view: View) -> None:
        """Remove whatever of a run the sandbox keeps outside its processes and folders."""

    async def sweep(self, running: Collection[str]) -> None:
        """Remove whatever it keeps of attempts of this daemon besides those that run.

        They are named as their views are, whose names may go on with a dash.
        """
