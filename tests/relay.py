"""`python -m tests.relay LISTEN TARGET SECONDS`: hands on TCP connections both ways, each byte so much later."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress


async def main(listen: str, target: str, seconds: float) -> None:
    """Relay for ever. Addresses are HOST:PORT."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = target.rsplit(":", 1)
        there, back = await asyncio.open_connection(host, int(port))
        with suppress(OSError):
            await asyncio.gather(_hand_on(reader, back, seconds), _hand_on(there, writer, seconds))

    host, port = listen.rsplit(":", 1)
    server = await asyncio.start_server(relay, host, int(port))
    print("listens", flush=True)
    await server.serve_forever()


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    while data := await reader.read(65536):
        loop.call_later(seconds, writer.write, data)
    await asyncio.sleep(seconds)
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
