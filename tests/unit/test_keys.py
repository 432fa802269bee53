"""The keys of the bus: one a role, kept across restarts, whoever dies while it is made; and who may connect where."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from services.broker.admission import Admission
from services.broker.link import Keys
from shared import failpoints
from shared.bus.keys import introduce, make_keys
from shared.bus.link import Admitted, admitted_path, write_admitted
from shared.config import ConfigError, Settings, load
from shared.failpoints import fired
from shared.messages.channels import ADMITTED, CHANNELS, ROLES, Role
from tests.failpoint_places import ROOT
from tools.declarations import services

KEYS: dict[Role, bytes] = {role: role.encode() * 8 for role in ROLES}
EVERY = [(role, endpoint) for role in ROLES for endpoint in ADMITTED]


def at(home: Path) -> Settings:
    return load({"MAKIMA_HOME": str(home)})


def request(role: str, endpoint: str, key: bytes) -> list[bytes]:
    return [b"1.0", b"7", endpoint.encode(), b"localhost:0:0:1", b"", b"PLAIN", role.encode(), key]


def test_every_role_has_a_key_of_its_own_that_stays(tmp_path: Path) -> None:
    made = make_keys(at(tmp_path))
    assert len(set(made.values())) == len(ROLES) == 6
    assert make_keys(at(tmp_path)) == made
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    found = [*(tmp_path / "keys").iterdir(), *(tmp_path / "run" / "keys").iterdir()]
    assert sorted(path.name for path in found) == sorted(ROLES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    assert [path.name for path in (tmp_path / "run" / "keys").iterdir()] == ["daemon"]


@pytest.mark.parametrize("moment", ["secret.kept.before_fsync", "secret.kept.after_fsync"])
def test_whoever_dies_while_making_a_key_leaves_none_that_is_half_made(tmp_path: Path, moment: str) -> None:
    failpoints.arm(tmp_path, moment, "kill")
    make = (
        "import os; from shared.config import load; from shared.bus.keys import make_keys; make_keys(load(os.environ))"
    )
    kept = {**os.environ, "MAKIMA_HOME": str(tmp_path)}
    environment = {**kept, "MAKIMA_FAILPOINTS": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", make], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL and fired(tmp_path, moment)
    assert not any((tmp_path / "keys" / role).exists() for role in ROLES)
    assert all(len(key) == 64 for key in make_keys(at(tmp_path)).values())


def test_whoever_has_no_key_is_told_in_a_line_where_it_would_be(tmp_path: Path) -> None:
    with zmq.Context() as context, pytest.raises(ConfigError, match="the planner's key for the bus isn't there"):
        introduce(context, at(tmp_path), "planner")


def test_an_empty_key_is_none(tmp_path: Path) -> None:
    make_keys(at(tmp_path))
    (tmp_path / "keys" / "planner").write_bytes(b"")
    with zmq.Context() as context, pytest.raises(ConfigError, match="planner is empty and keeps no secret; remove it"):
        introduce(context, at(tmp_path), "planner")
    with pytest.raises(ConfigError, match="planner is empty"):
        make_keys(at(tmp_path))


def test_a_process_without_its_key_ends_with_that_line(tmp_path: Path) -> None:
    environment = {**os.environ, "MAKIMA_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "services.planner"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("makima planner: the planner's key for the bus isn't there: ")
    assert done.stderr.count("\n") == 1


def test_a_role_connects_to_the_channels_whose_messages_its_service_declares() -> None:
    for service in services():
        if service.name == "broker":
            continue
        speaks = {*service.sends, *service.receives, *(["events"] if service.emits | service.consumes else [])}
        by_key_pair = {channel.name for channel in CHANNELS if not channel.roles}
        assert {channel.name for channel in CHANNELS if service.name in channel.roles} == speaks - by_key_pair


@pytest.mark.parametrize(("role", "endpoint"), EVERY)
def test_a_role_is_admitted_with_its_own_key_and_where_it_belongs(role: Role, endpoint: str) -> None:
    admission = Admission(KEYS)
    belongs = role in ADMITTED[endpoint]
    version, number, status, *_ = admission.answer(request(role, endpoint, KEYS[role]))
    assert (version, number, status == b"200") == (b"1.0", b"7", belongs)
    assert admission.refused.count == (0 if belongs else 1)
    others = [key for other, key in KEYS.items() if other != role]
    for key in (b"", KEYS[role][:-1], KEYS[role] + b"x", *others):
        assert admission.answer(request(role, endpoint, key))[2] == b"300"
    assert admission.refused.count == (0 if belongs else 1) + 3 + len(others)


@pytest.mark.parametrize(
    "nonsense",
    [
        [],
        [b"1.0"],
        [b"2.0", *request("executor", "commands", KEYS["executor"])[1:]],
        request("executor", "commands", KEYS["executor"])[:-1],
        request("executor", "elsewhere", KEYS["executor"]),
        request("nobody", "commands", KEYS["executor"]),
        [*request("x", "commands", b"")[:5], b"NULL"],
        [*request("x", "commands", b"")[:5], b"PLAIN", b"\xff\xfe", b"\xff"],
    ],
)
def test_a_request_that_is_none_is_refused(nonsense: list[bytes]) -> None:
    assert Admission(KEYS).answer(nonsense)[2] == b"300"


def test_no_key_stands_in_the_log_of_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Admission(KEYS).answer(request("executor", "commands", b"a guess of mine"))
    said = "".join(capsys.readouterr())
    assert "'executor' from localhost:0:0:1 shows a wrong key on commands" in said
    assert "a guess of mine" not in said and KEYS["executor"].decode() not in said


def test_keys_that_could_not_be_read_for_want_of_descriptors_are_read_again(tmp_path: Path) -> None:
    admitted_path(tmp_path).parent.mkdir()
    write_admitted(tmp_path, [Admitted(key="k" * 40, name="laptop", kind="daemon")], asking=False)
    keys = Keys(tmp_path, "default")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert keys.who("k" * 40) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert keys.who("k" * 40) == "daemon:laptop"
