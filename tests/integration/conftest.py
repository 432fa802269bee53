"""What the tests of one part on real parts share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workspace_harness import WorkspaceHarness


@pytest.fixture
def anyio_backend() -> str:
    """What tests marked `anyio` run on."""
    return "asyncio"


@pytest.fixture
async def shop(tmp_path: Path) -> WorkspaceHarness:
    """A remote and a daemon's workspaces, as after the daemon's start."""
    shop = WorkspaceHarness(tmp_path)
    await shop.workspaces.remove_orphans()
    return shop
