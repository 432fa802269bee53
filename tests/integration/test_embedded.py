"""The user whom the embedded Postgres runs as."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.store import embedded

NAME = f"makima-test-{os.getpid()}"


@pytest.fixture
def unmade(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No such user is there yet, and root's PATH is the short one that `su` and cron leave it."""
    monkeypatch.setattr(embedded, "SERVER_USER", NAME)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    yield
    subprocess.run(["/usr/sbin/userdel", NAME], capture_output=True, check=False)


@pytest.mark.usefixtures("unmade")
def test_root_gets_a_user_for_it_without_a_login_however_many_ask_at_once_and_others_run_it_themselves() -> None:
    with ThreadPoolExecutor(3) as pool:
        users = {asked.result() for asked in [pool.submit(embedded.server_user) for _ in range(3)]}
    if os.geteuid() != 0:
        assert users == {None}
        return
    made = pwd.getpwnam(NAME)
    assert {user.pw_uid for user in users if user is not None} == {made.pw_uid}
    assert made.pw_shell.endswith("nologin")
    assert embedded.server_user() == made
