"""`makima owner`, `member` and `token`, as people type them, against a real gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from shared.domain.ids import new_id
from tests.conftest import ROOT, free_port
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
TOKEN = re.compile("mkt_[0-9a-f]{48}\n")


class Person:
    """Somebody with a token, or with the cluster's."""

    def __init__(self, stage: ServiceHarness, token: str = "") -> None:
        self.stage = stage
        self.token = token.strip() or (stage.settings.home / "token").read_text().strip()

    def makima(self, *words: str, code: int = 0) -> str:
        """What a command prints, or its error where `code` isn't 0."""
        address = f"http://127.0.0.1:{self.stage.settings.port}"
        environment = {**self.stage.environment, "MAKIMA_API_URL": address, "MAKIMA_TOKEN": self.token}
        argv = [sys.executable, "-m", "cli", *words]
        done = subprocess.run(
            argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert code == 0 or done.stderr.count("\n") == 1
        return done.stdout if code == 0 else done.stderr

    def told(self, *words: str) -> Any:
        """What a command answers in JSON."""
        return json.loads(self.makima(*words, "-o", "json"))


@pytest.fixture
def owner() -> str:
    return f"team-{new_id().hex[-12:]}"


@pytest.fixture
def cluster(stage: ServiceHarness) -> Person:
    return Person(stage)


@pytest.fixture
def ada(stage: ServiceHarness, cluster: Person, owner: str) -> Person:
    """An owner's first admin, by the token that alone is printed when it is made."""
    printed = cluster.makima("owner", "create", owner, "--admin", "ada", "--max-daemons", "3")
    assert TOKEN.fullmatch(printed)
    return Person(stage, printed)


def test_the_administrator_sets_what_an_owner_may_use_and_acts_in_it(cluster: Person, ada: Person, owner: str) -> None:
    assert cluster.told("owner", "set", owner, "--max-running", "9", "--max-daemons", "none")["max_daemons"] is None
    for shown in (cluster.told("owner", "show", owner), ada.told("owner", "show")):
        assert (shown["name"], shown["max_running"], shown["max_daemons"]) == (owner, 9, None)
    assert owner in cluster.makima("owner", "list")
    assert [m["name"] for m in cluster.told("member", "list", "--owner", owner)] == ["ada"]
    assert "nothing to set" in cluster.makima("owner", "set", owner, code=1)
    assert "invalid float value: 'nan'" in cluster.makima("owner", "set", owner, "--max-cost-usd-a-day", "nan", code=2)
    assert "no owner 'nowhere'" in cluster.makima("owner", "show", "nowhere", code=1)
    assert "no owner 'no such'" in cluster.makima("list", "--owner", "no such", code=1)
    assert "only the cluster's own token" in ada.makima("owner", "list", code=1)


def test_members_come_and_go(stage: ServiceHarness, ada: Person) -> None:
    assert ada.makima("member", "add", "grace@example.org") == "grace@example.org has the role operator\n"
    assert "is a member already" in ada.makima("member", "add", "grace@example.org", "--role", "admin", code=1)
    assert "is no member" in ada.makima("member", "set", "linus", "--role", "viewer", code=1)
    grace = Person(stage, ada.makima("token", "create", "laptop", "--person", "grace@example.org"))
    assert "takes the role admin" in grace.makima("member", "add", "linus", code=1)
    ada.makima("member", "set", "grace@example.org", "--role", "viewer")
    assert [line.split()[:2] for line in ada.makima("member", "list").splitlines()] == [
        ["ada", "admin"],
        ["grace@example.org", "viewer"],
    ]
    assert "there is no daemon yet" in grace.makima("daemon", "list"), "whose keys she may not see"
    assert ada.makima("member", "remove", "grace@example.org") == "removed\n"
    assert "no longer" in grace.makima("list", code=1)


def test_tokens_are_made_listed_and_revoked_by_name_or_id(ada: Person) -> None:
    ada.makima("member", "add", "grace")
    for words in (["ci", "--expires", "30d"], ["laptop", "--expires", "never"], ["laptop", "--person", "grace"]):
        assert TOKEN.fullmatch(ada.makima("token", "create", *words))
    listed = {(t["name"], t["person"]): t for t in ada.told("token", "list")}
    assert listed.keys() == {("first", "ada"), ("ci", "ada"), ("laptop", "ada"), ("laptop", "grace")}
    assert listed["laptop", "ada"]["expires_at"] is None and "in 29d" in ada.makima("token", "list")
    assert "2 tokens are called 'laptop'" in ada.makima("token", "revoke", "laptop", code=1)
    assert ada.makima("token", "revoke", "laptop", "--person", "grace") == "revoked\n"
    assert ada.makima("token", "revoke", listed["ci", "ada"]["id"]) == "revoked\n"
    assert "no token 'ci' is good" in ada.makima("token", "revoke", "ci", code=1)
    assert "is no time" in ada.makima("token", "create", "x", "--expires", "soon", code=2)


def test_the_story_of_a_directive_says_who_did_what(ada: Person) -> None:
    made = ada.told("directive", "create", "--title", "A job", "--goal", "g")
    ada.makima("directive", "archive", made["id"])
    story = ada.makima("directive", "log", made["id"])
    assert "The directive was made. (by ada)" in story and "archived (by ada)" in story
