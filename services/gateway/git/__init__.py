"""Repositories that are folders of the cluster's machine, served to the git of daemons on other machines.

Git's own smart HTTP protocol (https://git-scm.com/docs/gitprotocol-http) over the gateway's unix socket, which streams
of the link lead to: no browser and nobody over TCP reaches it. `rights` says what a task may do there, `pushes` reads
what a push asks for before git sees any of it, `process` runs git, `serving` puts them together.
"""
