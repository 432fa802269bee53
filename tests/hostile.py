"""A server that poses as a gateway: it answers each request by TLS, or in plain, with the bytes that it was given."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path


class Poser:
    """One. `heard` is all that was said to it, `answer` what it says."""

    def __init__(self, answer: Iterable[bytes], files: tuple[Path, Path] | None = None) -> None:
        self.answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = b""
        self._context: ssl.SSLContext | None = None
        if files is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*files)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Answer no more."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(peer,), daemon=True).start()

    def _meet(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as open_ones:
            if self._context is not None:
                peer = self._context.wrap_socket(peer, server_side=True)
            open_ones.enter_context(peer)
            while b"\r\n\r\n" not in self.heard:
                self.heard += peer.recv(65536)
            for piece in self.answer:
                peer.sendall(piece)


@contextlib.contextmanager
def posing(answer: Iterable[bytes], files: tuple[Path, Path] | None = None) -> Iterator[Poser]:
    """One, within this context."""
    poser = Poser(answer, files)
    try:
        yield poser
    finally:
        poser.close()
