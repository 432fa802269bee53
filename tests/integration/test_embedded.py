"""The user whom the embedded Postgres runs as."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from shared.config.embedded_url import SUPERUSER, embedded_url
from shared.store import embedded
from tests.waiting import until

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


def test_a_new_server_reads_its_configuration_again_without_a_complaint(empty_home: Path) -> None:
    embedded.initialise(empty_home)
    log = empty_home / "log"
    with log.open("wb") as written:
        server = embedded.server(empty_home).popen(written)
    try:
        until(lambda: "ready to accept connections" in log.read_text(), log.read_text)
        with psycopg.connect(embedded_url(empty_home, "postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET log_min_messages = 'info'")
            connection.execute("SELECT pg_reload_conf()")
        until(lambda: "log_min_messages" in log.read_text(), log.read_text)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
    assert "cannot be changed" not in log.read_text() and "contains errors" not in log.read_text()
