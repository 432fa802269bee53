"""`makima login` and contexts, where whoever answers is no gateway, and where files are somebody else's."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.conftest import ROOT
from tests.hostile import posing
from tests.secret_service import secret_service

TOKEN = "mkt_" + "5" * 48
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Laptop:
    """An account on another machine: an empty home, an empty environment."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.environment = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
        }

    @property
    def file(self) -> Path:
        return self.home / ".config" / "makima" / "contexts.json"

    def run(self, *words: str, said: str = TOKEN, **more: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "cli", *words]
        environment = {**self.environment, **more}
        return subprocess.run(
            argv, env=environment, input=said, capture_output=True, text=True, timeout=120, check=False
        )

    def refused(self, *words: str, said: str = TOKEN, **more: str) -> str:
        done = self.run(*words, said=said, **more)
        assert done.returncode in (1, 2), done.stdout
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
        assert TOKEN not in done.stderr + done.stdout and done.stderr.rstrip("\n").isprintable()
        return done.stderr


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    return Laptop(tmp_path)


def answer(body: bytes) -> list[bytes]:
    return [HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body]


ME = answer(b'{"person": "anna", "role": "operator", "owner": "team"}')


def drip() -> Iterator[bytes]:
    yield HEAD
    for _ in range(600):
        yield b"X-Slow: yes\r\n"
        time.sleep(0.4)


def test_a_login_is_kept_and_shown_without_its_token(laptop: Laptop) -> None:
    with posing(ME) as gateway:
        done = laptop.run("login", gateway.address, "--name", "build")
        assert done.returncode == 0, done.stderr
        assert f"authorization: bearer {TOKEN}".encode() in gateway.heard.lower()
    assert done.stdout.startswith(f"logged in to {gateway.address} as anna, operator in team: context build")
    for words in (["list"], ["show"], ["show", "build"], ["list", "-o", "json"], ["show", "-o", "json"]):
        shown = laptop.run("context", *words).stdout
        assert gateway.address in shown and "build" in shown and TOKEN not in shown
    token = laptop.file.parent / "tokens" / "build"
    assert token.read_text() == TOKEN and TOKEN not in laptop.file.read_text()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (token, laptop.file)} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (token.parent, laptop.file.parent)} == {0o700}
    assert "logged out" in laptop.run("logout").stdout and not token.exists()
    assert "no context is in use" in laptop.refused("logout")
    assert "has no token; makima login" in laptop.refused("--context", "build", "list")
    assert laptop.run("context", "remove", "build").returncode == 0
    assert json.loads(laptop.file.read_text()) == {"used": "local", "contexts": {}}


@pytest.mark.parametrize("by", ["a file", "standard input"])
def test_a_token_comes_from_a_file_or_standard_input_and_never_by_an_argument(laptop: Laptop, by: str) -> None:
    (laptop.home / "token").write_text(f"{TOKEN}\n")
    with posing(ME) as gateway:
        words = ["--token-file", str(laptop.home / "token")] if by == "a file" else []
        assert laptop.run("login", gateway.address, *words, said=f"  {TOKEN}\n").returncode == 0
    assert "not taken here" in laptop.refused("login", gateway.address, TOKEN)


@pytest.mark.parametrize("said", ["", "\n", "two words", "a\x1b[31m", "ü", "x" * 10_000])
def test_what_is_no_token_is_sent_to_nobody(laptop: Laptop, said: str) -> None:
    with posing(ME) as gateway:
        assert "standard input holds no token" in laptop.refused("login", gateway.address, said=said)
        assert gateway.heard == b""


@pytest.mark.parametrize(
    "url",
    [
        f"https://anna:{TOKEN}@build.example.org", "https://build.example.org/v1", "https://build.example.org?a=b", "https://",
        "ftp://build.example.org", "https://build.example.org:port", "https://bu\x1bild", "unix:///run/x", "https://[::1",
        "http:///x", "https://build.example.org#x", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(laptop: Laptop, url: str) -> None:
    assert "no address of a gateway" in laptop.refused("login", url)
    assert not laptop.file.exists()


def test_plain_http_of_another_machine_has_to_be_asked_for(laptop: Laptop) -> None:
    assert "plain HTTP" in laptop.refused("login", "http://192.0.2.1:8420")
    assert "plain HTTP" in laptop.refused("list", MAKIMA_API_URL="http://192.0.2.1:8420", MAKIMA_TOKEN=TOKEN)


HOSTILE: dict[str, Iterable[bytes]] = {
    "endless": itertools.chain([HEAD, b"\r\n"], itertools.repeat(b"x" * 65536)),
    "ten gigabytes": itertools.chain([HEAD + b"Content-Length: 10737418240\r\n\r\n"], itertools.repeat(b"[" * 65536)),
    "endless headers": itertools.chain([HEAD], itertools.repeat(b"X-Much: " + b"y" * 60000 + b"\r\n")),
    "an endless line": itertools.chain([b"HTTP/1.1 200 "], itertools.repeat(b"y" * 60000)),
    "nesting": answer(b"[" * 200_000),
    "a list": answer(b"[]"),
    "no JSON": answer(b"<html>"),
    "no HTTP": [b"\x1b]0;owned\x07 220 smtp ready\r\n"],
    "nothing": [],
    "control characters": [
        HEAD.replace(b"200 OK", b"403 \x1b[2J")
        + b'Content-Length: 37\r\n\r\n{"detail": "\\u001b[2J\\u202e\\nno\\u009b"}'
    ],
    "a huge refusal": [
        HEAD.replace(b"200", b"403") + b"Content-Length: 1000016\r\n\r\n" + b'{"detail": "' + b"n" * 1_000_002 + b'"}'
    ],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_whoever_poses_as_a_gateway_makes_a_line_of_it_and_keeps_nothing(laptop: Laptop, kind: str) -> None:
    with posing(HOSTILE[kind]) as gateway:
        said = laptop.refused("login", gateway.address)
    assert len(said) < 2500 and not laptop.file.exists()


def test_an_answer_that_drips_is_waited_for_no_longer_than_a_whole_one(laptop: Laptop) -> None:
    began = time.monotonic()
    with posing(drip()) as gateway:
        assert "no whole answer within" in laptop.refused("login", gateway.address)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"])
def test_a_redirect_takes_the_token_nowhere(laptop: Laptop, status: bytes) -> None:
    with posing(ME) as elsewhere:
        leads = (
            b"HTTP/1.1 "
            + status
            + b"\r\nContent-Length: 0\r\nLocation: "
            + elsewhere.address.encode()
            + b"/v1/me\r\n\r\n"
        )
        with posing([leads]) as gateway:
            assert "leads elsewhere" in laptop.refused("login", gateway.address)
        with posing(ME) as gateway:
            assert laptop.run("login", gateway.address, "--name", "build").returncode == 0
        with posing([leads]) as gateway:
            said = laptop.refused("list", MAKIMA_API_URL=gateway.address, MAKIMA_TOKEN=TOKEN)
            assert "leads elsewhere" in said
        assert elsewhere.heard == b""


def test_a_certificate_counts_by_its_authority_and_its_names(laptop: Laptop, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "one")
    files, other = authority.issue("127.0.0.1"), authority.issue("build.example.org", certificate="o.pem", key="o.key")
    ca = str(authority.certificate)
    with posing(ME, files) as gateway:
        said = laptop.refused("login", gateway.address)
        assert "--ca FILE" in said and "doesn't prove" in said and TOKEN.encode() not in gateway.heard
        stranger = str(Authority(tmp_path / "two").certificate)
        assert "doesn't prove" in laptop.refused("login", gateway.address, "--ca", stranger)
        assert "no certificate" in laptop.refused("login", gateway.address, "--ca", str(files[1]))
        assert gateway.heard == b""
        assert laptop.run("login", gateway.address, "--ca", ca).returncode == 0
    with posing(ME, other) as gateway:
        assert "doesn't prove" in laptop.refused("login", gateway.address, "--ca", ca, "--name", "other")
        assert gateway.heard == b""


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda path: path.chmod(0o644), "is open to other accounts (mode 644)"),
        (lambda path: path.chmod(0o620), "is open to other accounts (mode 620)"),
        (lambda path: os.chown(path, 12345, 12345), "belongs to another account"),
        (lambda path: path.write_text("{"), "can't be read"),
        (lambda path: path.write_text("[" * 100_000), "can't be read"),
        (lambda path: path.write_bytes(b"\xff"), "can't be read"),
        (
            lambda path: path.write_text('{"used": "x", "contexts": {"../x": {"address": "", "keeps": ""}}}'),
            "can't be read",
        ),
        (lambda path: (path.unlink(), os.mkfifo(path, 0o600)), "is no file"),
        (lambda path: (path.unlink(), path.mkdir(0o600)), "is no file"),
    ],
)
def test_a_file_of_contexts_that_others_could_have_written_does_not_count(
    laptop: Laptop, made: object, says: str
) -> None:
    with posing(ME) as gateway:
        assert laptop.run("login", gateway.address, "--name", "build").returncode == 0
        heard = len(gateway.heard)
        if "chown" in repr(made.__code__.co_names) and os.geteuid() != 0:  # type: ignore[attr-defined]
            pytest.skip("only root gives files away")
        made(laptop.file)  # type: ignore[operator]
        assert says in laptop.refused("list") and len(gateway.heard) == heard


def test_a_token_that_others_can_read_does_not_count(laptop: Laptop) -> None:
    with posing(ME) as gateway:
        assert laptop.run("login", gateway.address, "--name", "build").returncode == 0
        (laptop.file.parent / "tokens" / "build").chmod(0o640)
        assert "mode 640" in laptop.refused("list")


def test_logins_at_once_lose_none(laptop: Laptop) -> None:
    with posing(ME) as gateway:
        argv = [sys.executable, "-m", "cli", "login", gateway.address, "--name"]
        several = [
            subprocess.Popen([*argv, f"c{n}"], env=laptop.environment, stdin=subprocess.PIPE, text=True)
            for n in range(6)
        ]
        for one in several:
            one.communicate(TOKEN, timeout=120)
    assert set(json.loads(laptop.file.read_text())["contexts"]) == {f"c{n}" for n in range(6)}


RULE = {
    "a task's own before all": ({"MAKIMA_TASK_ID": "1", "MAKIMA_API_URL": "{env}", "MAKIMA_CONTEXT": "one"}, [], "env"),
    "--context before MAKIMA_CONTEXT": ({"MAKIMA_CONTEXT": "one"}, ["--context", "two"], "two"),
    "--context= after the command": ({}, ["list", "--context=two"], "two"),
    "MAKIMA_CONTEXT before MAKIMA_API_URL": ({"MAKIMA_CONTEXT": "two", "MAKIMA_API_URL": "{env}"}, [], "two"),
    "MAKIMA_API_URL before MAKIMA_HOME": ({"MAKIMA_API_URL": "{env}", "MAKIMA_HOME": "/none"}, [], "env"),
    "MAKIMA_HOME before the one in use": ({"MAKIMA_HOME": "/none"}, [], "no cluster runs on /none"),
    "the one in use": ({}, [], "one"),
    "local": ({}, ["--context", "local"], "no cluster runs on"),
}


@pytest.mark.parametrize("case", RULE)
def test_which_gateway_counts(laptop: Laptop, case: str) -> None:
    given, words, counts = RULE[case]
    with posing(ME) as one, posing(ME) as two, posing(ME) as env:
        for name, gateway in (("two", two), ("one", one)):
            assert laptop.run("login", gateway.address, "--name", name).returncode == 0
            gateway.heard = b""
        variables = {key: value.format(env=env.address) for key, value in given.items()}
        done = laptop.run(
            *words, *(["list"] if "list" not in words else []), MAKIMA_TOKEN="mkt_of_the_environment", **variables
        )
        heard = {name: bool(gateway.heard) for name, gateway in (("one", one), ("two", two), ("env", env))}
        assert heard == {name: name == counts for name in heard}, done.stderr
        if counts in ("one", "two"):
            assert b"of_the_environment" not in one.heard + two.heard  # that token is another gateway's
        elif counts == "env":
            assert b"of_the_environment" in env.heard
        else:
            assert counts in done.stderr


def test_inside_a_task_nobody_chooses_another_gateway(laptop: Laptop) -> None:
    inside = {"MAKIMA_TASK_ID": "1", "MAKIMA_API_URL": "http://127.0.0.1:1", "MAKIMA_TOKEN": "x"}
    assert "inside a task" in laptop.refused("--context", "build", "list", **inside)
    assert "inside a task" in laptop.refused("login", "https://build.example.org", **inside)


@pytest.mark.parametrize("words", [["up"], ["down"], ["doctor"], ["logs"], ["db", "backup", "x"], ["upgrade-check"]])
def test_what_is_of_the_clusters_machine_says_so(laptop: Laptop, words: list[str]) -> None:
    with posing(ME) as gateway:
        assert laptop.run("login", gateway.address, "--name", "build").returncode == 0
    said = laptop.refused(*words)
    assert "on the cluster's own machine" in said and f"makima --context local {words[0]}" in said


@pytest.mark.parametrize("name", ["local", "../x", "a/b", ".x", "", "x" * 64, "ü", "a b"])
def test_a_context_is_called_by_what_a_file_can_be(laptop: Laptop, name: str) -> None:
    with posing(ME) as gateway:
        said = laptop.refused("login", gateway.address, f"--name={name}") if name else ""
    assert not name or "can't be called" in said


def test_a_name_is_not_led_to_another_gateway(laptop: Laptop) -> None:
    with posing(ME) as one, posing(ME) as two:
        assert laptop.run("login", one.address, "--name", "build").returncode == 0
        assert "is another gateway" in laptop.refused("login", two.address, "--name", "build")
        assert two.heard == b""


def test_a_person_is_asked_for_it_and_it_is_not_shown(laptop: Laptop) -> None:
    provider = answer(b'{"issuer": null}')
    with posing(provider) as gateway:
        pid, terminal = pty.fork()
        if pid == 0:
            argv = [sys.executable, "-m", "cli", "login", gateway.address]
            os.execve(sys.executable, argv, laptop.environment)
        shown = b""
        while b"Token: " not in shown:
            shown += os.read(terminal, 4096)
        gateway.answer, gateway.heard = ME, b""
        os.write(terminal, f"{TOKEN}\n".encode())
        with contextlib.suppress(OSError):  # it has ended
            while piece := os.read(terminal, 4096):
                shown += piece
        assert os.waitpid(pid, 0)[1] == 0, shown
        assert b"logged in to" in shown and TOKEN.encode() not in shown
        assert TOKEN.encode() in gateway.heard


def test_where_there_is_a_keyring_the_token_is_in_it_and_nowhere_else(laptop: Laptop, tmp_path: Path) -> None:
    with secret_service(tmp_path / "bus") as keyring, posing(ME) as gateway:
        bus = {"DBUS_SESSION_BUS_ADDRESS": keyring.address}
        done = laptop.run("login", gateway.address, "--name", "build", **bus)
        assert "its token in the keyring" in done.stdout, done.stdout + done.stderr
        ((attributes, secret),) = keyring.kept.values()
        assert secret.decode() == TOKEN and attributes["username"] == f"build {gateway.address}"
        assert not list(laptop.home.rglob("tokens")) and TOKEN not in laptop.file.read_text()
        gateway.heard = b""
        laptop.run("list", **bus)
        assert TOKEN.encode() in gateway.heard
        gateway.heard = b""
        laptop.file.write_text(laptop.file.read_text().replace(gateway.address, "http://127.0.0.1:1"))
        assert "has no token" in laptop.refused("list", **bus)  # it is another address's
        laptop.file.write_text(laptop.file.read_text().replace("http://127.0.0.1:1", gateway.address))
        assert "can't be asked" in laptop.refused("list")
        assert laptop.run("logout", **bus).returncode == 0 and not keyring.kept


def test_a_keyring_that_never_answers_is_none(laptop: Laptop, tmp_path: Path) -> None:
    with secret_service(tmp_path / "bus", silent=True) as keyring, posing(ME) as gateway:
        began = time.monotonic()
        done = laptop.run("login", gateway.address, DBUS_SESSION_BUS_ADDRESS=keyring.address)
        assert "in a file of yours alone" in done.stdout, done.stderr
        assert time.monotonic() - began < 60


@pytest.mark.parametrize("backend", ["keyring.backends.null.Keyring", "cli.no.such.Keyring"])
def test_the_users_choice_of_a_backend_is_not_asked(laptop: Laptop, backend: str) -> None:
    with posing(ME) as gateway:
        done = laptop.run("login", gateway.address, PYTHON_KEYRING_BACKEND=backend)
        assert "in a file of yours alone" in done.stdout, done.stderr
