"""What the tests of one part on real parts share."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.daemon.git.command import fallback_identity
from services.daemon.git.identity import identity
from tests.shop import Shop


@pytest.fixture
def anyio_backend() -> str:
    """What tests marked `anyio` run on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_identity_of_another_test() -> None:
    """A daemon asks once who commits; here many run in one process, each with an account of its own."""
    fallback_identity.cache_clear()
    identity.cache_clear()


@pytest.fixture
async def shop(tmp_path: Path) -> Shop:
    """A remote and a daemon's workspaces, as after the daemon's start."""
    shop = Shop(tmp_path)
    await shop.workspaces.remove_orphans()
    return shop
