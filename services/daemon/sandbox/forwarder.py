"""A program of its own, inside a sandbox: ports of a loopback that nobody else has, each led to a unix socket.

    python -I -S forwarder.py PORT=SOCKET... -- COMMAND...

It listens, leaves a process that forwards, and becomes the command, which so has its process id, its standard input
and its exit code. It needs Python's standard library alone, since a container may have nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys

_CHUNK_BYTES = 64 << 10
_BACKLOG = 256


def main(arguments: list[str]) -> None:
    """Forward, and become the command."""
    end = arguments.index("--")
    targets = [(int(port), path) for port, _, path in (a.partition("=") for a in arguments[:end])]
    listeners = [(_listener(port), path) for port, path in targets]
    if os.fork() == 0:
        _let_go_of_pipes()
        asyncio.run(_forward(listeners))
        return
    for listener, _ in listeners:
        listener.close()
    command = arguments[end + 1 :]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def _listener(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    listener.setblocking(False)
    return listener


def _let_go_of_pipes() -> None:
    """Else whoever reads the command's output would wait for the forwarder's end, too."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.setsid()


async def _forward(listeners: list[tuple[socket.socket, str]]) -> None:
    async def serve(listener: socket.socket, path: str) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                try:
                    outer_reader, outer_writer = await asyncio.open_unix_connection(path)
                except OSError:
                    return  # the proxy is gone: the connection ends
                with contextlib.closing(outer_writer):
                    await asyncio.gather(copy(reader, outer_writer), copy(outer_reader, writer))

        server = await asyncio.start_server(connected, sock=listener)
        await server.serve_forever()

    await asyncio.gather(*(serve(listener, path) for listener, path in listeners))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side has no more to say; then the other is told so, and may still answer."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()


if __name__ == "__main__":
    main(sys.argv[1:])
