"""A daemon joins a cluster on another machine: what it offers, when it gives up, and what it goes on with."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.bus.link import Invitation, Link, key_pair, link_path, public_of, read_link, read_pending
from shared.messages.link import Join, Joined, NotJoined
from tests.link_harness import PlayedLink, makima

INVITED = key_pair()


@pytest.fixture
def link() -> Iterator[PlayedLink]:
    played = PlayedLink()
    played.admitted = {INVITED.public}
    yield played
    played.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"MAKIMA_HOME": str(tmp_path / "far"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}


def line(link: PlayedLink, name: str | None = "laptop") -> str:
    return Invitation(address=link.address, server=link.keys.public, secret=INVITED.secret, name=name).line()


def ended(process: subprocess.Popen[str], link: PlayedLink, seconds: float = 30) -> tuple[int, str, str]:
    """How a command ended: code, output, errors."""
    link.until(lambda: process.poll() is not None, "the command ends", seconds)
    out, err = process.communicate()
    return process.returncode, out, err


def home(environment: dict[str, str]) -> Path:
    return Path(environment["MAKIMA_HOME"])


def accept(link: PlayedLink) -> None:
    def answer(key: str, call: object) -> None:
        if isinstance(call, Join):
            link.tell(key, Joined(key=call.key, name=call.name, owner="default", labels=("gpu",), slots=2))

    link.on_call = answer


def test_an_invitation_can_come_by_standard_input_where_no_list_of_processes_shows_it(
    link: PlayedLink, environment: dict[str, str]
) -> None:
    accept(link)
    with (home(environment).parent / "invitation").open("w+") as invited:
        invited.write(line(link) + "\n")
        invited.seek(0)
        code, out, err = ended(makima(environment, "daemon", "join", "-", "--no-run", stdin=invited), link)
    assert (code, err) == (0, "")
    assert f"joined {link.address} as laptop" in out


def test_an_invitation_makes_it_a_daemon_of_the_cluster(link: PlayedLink, environment: dict[str, str]) -> None:
    accept(link)
    code, out, err = ended(makima(environment, "daemon", "join", line(link), "--no-run"), link)
    assert (code, err) == (0, "")
    assert f"joined {link.address} as laptop" in out
    kept = read_link(home(environment))
    assert kept is not None
    assert (kept.address, kept.server, kept.name, kept.labels, kept.slots) == (
        (link.address, link.keys.public, "laptop", ("gpu",), 2)
    )  # fmt: skip
    assert public_of(kept.secret) == link.call(Join).key
    assert {key for key, _ in link.calls} == {INVITED.public}, "its own key is shown only once it is a daemon's"
    assert stat.S_IMODE(link_path(home(environment)).stat().st_mode) == 0o600
    assert read_pending(home(environment)) is None


def test_a_name_of_ones_own_counts_and_one_that_is_no_folders_is_refused(
    link: PlayedLink, environment: dict[str, str]
) -> None:
    code, _, err = ended(makima(environment, "daemon", "join", line(link), "--name", "../x"), link)
    assert code == 1 and "can't be named '../x'" in err
    accept(link)
    assert ended(makima(environment, "daemon", "join", line(link), "--name", "mine", "--no-run"), link)[0] == 0
    assert link.call(Join).name == "mine"


def test_it_asks_again_until_it_is_answered(link: PlayedLink, environment: dict[str, str]) -> None:
    joining = makima(environment, "daemon", "join", line(link), "--no-run")
    link.until(lambda: len(link.calls) > 2, "it asks three times")
    assert len({call.key for _, call in link.calls if isinstance(call, Join)}) == 1
    accept(link)
    assert ended(joining, link)[0] == 0


def test_killed_before_the_answer_it_offers_the_same_key_once_more(
    link: PlayedLink, environment: dict[str, str]
) -> None:
    first = makima(environment, "daemon", "join", line(link))
    offered = link.call(Join).key
    first.kill()
    first.communicate()
    assert not link_path(home(environment)).exists()
    link.calls.clear()
    accept(link)
    assert ended(makima(environment, "daemon", "join", line(link), "--no-run"), link)[0] == 0
    assert link.call(Join).key == offered


def test_an_invitation_that_was_used_is_refused_in_one_line(link: PlayedLink, environment: dict[str, str]) -> None:
    link.admitted.clear()
    code, _, err = ended(makima(environment, "daemon", "join", line(link)), link)
    assert code == 1 and len(err.splitlines()) == 1
    assert "refuses the invitation" in err and "makima daemon invite" in err


def test_what_the_cluster_says_no_to_is_told_as_it_says_it(link: PlayedLink, environment: dict[str, str]) -> None:
    def refuse(key: str, call: object) -> None:
        assert isinstance(call, Join)
        link.tell(key, NotJoined(key=call.key, reason="there is a daemon of this name"))

    link.on_call = refuse
    code, _, err = ended(makima(environment, "daemon", "join", line(link)), link)
    assert code == 1 and "there is a daemon of this name" in err


def test_where_nobody_listens_it_gives_up_in_one_line(link: PlayedLink, environment: dict[str, str]) -> None:
    asked = line(link)
    link.shut()
    joining = makima(environment, "daemon", "join", asked)
    _, err = joining.communicate(timeout=30)
    assert joining.returncode == 1 and err.startswith(f"makima: nobody answers at {link.address}")
    link.open()


def test_with_the_brokers_key_alone_it_waits_until_a_person_accepts_it(
    link: PlayedLink, environment: dict[str, str]
) -> None:
    code, _, err = ended(makima(environment, "daemon", "join", link.address), link)
    assert code == 1 and "--server-key KEY is needed" in err
    code, _, err = ended(makima(environment, "daemon", "join", link.address, "--server-key", "x" * 39), link)
    assert code == 1 and "40 characters" in err
    joining = makima(environment, "daemon", "join", link.address, f"--server-key={link.keys.public}", "--no-run")
    pending = _pending(link, environment)
    link.admitted.add(pending)

    def wait(key: str, call: object) -> None:
        assert isinstance(call, Join)
        link.tell(key, NotJoined(key=call.key, reason="nobody has accepted it", waits=True))

    link.on_call = wait
    link.until(lambda: len(link.calls) > 2, "it goes on asking")
    assert {key for key, _ in link.calls} == {pending}
    accept(link)
    code, out, _ = ended(joining, link)
    assert code == 0
    assert "this daemon's key: " in out and out.count("waiting: nobody has accepted it") == 1


def _pending(link: PlayedLink, environment: dict[str, str]) -> str:
    link.until(lambda: home(environment).exists() and read_pending(home(environment)), "a key is kept")
    pending = read_pending(home(environment))
    assert pending is not None
    return public_of(pending.secret)


def test_a_home_that_belongs_to_a_cluster_says_so(link: PlayedLink, environment: dict[str, str]) -> None:
    accept(link)
    assert ended(makima(environment, "daemon", "join", line(link), "--no-run"), link)[0] == 0
    first = read_link(home(environment))
    code, _, err = ended(makima(environment, "daemon", "join", line(link)), link)
    assert code == 1 and f"already belongs to {link.address}, as laptop" in err and "--again" in err
    assert ended(makima(environment, "daemon", "join", line(link), "--again", "--no-run"), link)[0] == 0
    second = read_link(home(environment))
    assert isinstance(first, Link) and isinstance(second, Link) and first.secret != second.secret


def test_a_home_with_a_cluster_of_its_own_is_left_alone(link: PlayedLink, environment: dict[str, str]) -> None:
    (home(environment) / "postgres").mkdir(parents=True)
    code, _, err = ended(makima(environment, "daemon", "join", line(link)), link)
    assert code == 1 and "holds a cluster of its own" in err


@pytest.mark.parametrize("words", ["mki_", "mki_AAAA", "mki_é", "mki_" + "x" * 5000])
def test_what_is_no_invitation_is_told_so(link: PlayedLink, environment: dict[str, str], words: str) -> None:
    code, _, err = ended(makima(environment, "daemon", "join", words), link)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "that is no invitation" in err


def test_an_answer_for_another_key_is_none(link: PlayedLink, environment: dict[str, str]) -> None:
    def answer(key: str, call: object) -> None:
        assert isinstance(call, Join)
        link.tell(key, Joined(key=key_pair().public, name="x", owner="default"))

    link.on_call = answer
    joining = makima(environment, "daemon", "join", line(link), "--no-run")
    link.until(lambda: len(link.calls) > 2, "it goes on asking")
    assert not link_path(home(environment)).exists()
    accept(link)
    assert ended(joining, link)[0] == 0
    assert json.loads(link_path(home(environment)).read_text())["name"] == "laptop"
