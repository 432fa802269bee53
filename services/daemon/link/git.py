"""A repository that is a folder of the cluster's machine, as this machine's git reaches it: over the link.

Git speaks HTTP, as to any remote, to a port of this machine; what it says there goes to the gateway by a stream. Its
address names the cluster and the folder there, so that a folder of this machine is never taken for it.
"""

from __future__ import annotations

import socket

import msgspec

from services.daemon.workspaces.elsewhere import RepositoryElsewhere
from shared.bus.link import fingerprint
from shared.domain.repositories import folder_of, is_over_link, over_link
from shared.messages.commands import SpawnTask

_BACKLOG = 128


class GitOverLink:
    """The way to the repositories of one cluster's machine."""

    def __init__(self, server: str) -> None:
        """`server`: the public key of the cluster. Raises OSError."""
        self._cluster = fingerprint(server)
        self.bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.bound.bind(("127.0.0.1", 0))
        self.bound.listen(_BACKLOG)
        self.bound.setblocking(False)

    def here(self, command: SpawnTask) -> SpawnTask:
        """A command as it is meant on this machine."""
        folder = folder_of(command.repository_url)
        if folder is None or not command.git_token:
            return command
        return msgspec.structs.replace(command, repository_url=over_link(folder, self._cluster))

    def settings(self, command: SpawnTask) -> dict[str, str]:
        """What git has to be told to reach a command's repository. Raises RepositoryElsewhere where it can't."""
        url = command.repository_url
        if (folder := folder_of(url)) is not None:
            raise RepositoryElsewhere(
                f"the repository {folder} is a folder of the cluster's machine, and that is too old to serve it to "
                "others: upgrade it, or give the repository's address instead"
            )
        if url is None or not is_over_link(url):
            return {}
        host = f"http://127.0.0.1:{self.bound.getsockname()[1]}"
        return {
            f"url.{host}/v1/git/{command.directive.hex}.insteadOf": url,
            f"http.{host}.extraHeader": f"Authorization: Bearer {command.git_token}",
            f"http.{host}.followRedirects": "false",
            f"http.{host}.proxy": "",
            f"credential.{host}.helper": "",
        }

    def close(self) -> None:
        """Take no more."""
        self.bound.close()
