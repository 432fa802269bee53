"""OpenID providers for tests: a real one, installed by `./justw test`, and an odd one, which answers as told."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
CLIENT = "makima"
Says = Mapping[str, object]
"""What a provider says of a person: claims by their names."""


@contextlib.contextmanager
def real_provider(port: int, people: Mapping[str, Says], redirect: str, secret: str | None = None) -> Iterator[str]:
    """A real OpenID provider with these people, who sign in by their names and any password; its issuer URL."""
    if not (FOLDER / "node_modules").exists():
        raise AssertionError("the OpenID provider is not installed: run `tools/install.sh tests`")
    issuer = f"http://127.0.0.1:{port}"
    method = "none" if secret is None else "client_secret_basic"
    client = {"client_id": CLIENT, "redirect_uris": [redirect], "token_endpoint_auth_method": method}
    if secret is not None:
        client["client_secret"] = secret
    told = json.dumps({"issuer": issuer, "client": client, "people": people})
    with subprocess.Popen(
        ["node", str(FOLDER / "real.mjs"), told], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield issuer
        finally:
            process.kill()
