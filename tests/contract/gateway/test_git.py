"""Repositories of the cluster's machine, served to daemons elsewhere: each task its own, and its own refs alone."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import msgspec
import psutil
import pytest

from services.gateway.git.pushes import MAX_BYTES, line
from services.gateway.git.repository import MAX_ASKED_BYTES
from services.gateway.git.serving import MAX_OF_ONE_TASK
from shared.domain.delivery import Delivery, StepBranch
from shared.domain.names import delivery_branch, task_branch
from shared.service.tokens import git_token, load_secret, task_token
from tests.contract.gateway.test_gateway import free_port
from tests.contract.service_harness import ServiceHarness
from tests.shell import git
from tests.waiting import until

SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
NONE = "0" * 40
PUSHED = "application/x-git-receive-pack-request"


class World:
    """A repository of the cluster's machine, a directive on it, a step of that which runs, and a clone elsewhere."""

    def __init__(self, stage: ServiceHarness, folder: Path) -> None:
        self.stage = stage
        self.origin, self.clone = folder / "the repository", folder / "clone"
        git(folder, "init", "--quiet", "-b", "main", str(self.origin))
        git(self.origin, "commit", "--quiet", "--allow-empty", "-m", "first")
        git(folder, "clone", "--quiet", str(self.origin), str(self.clone))
        git(self.clone, "commit", "--quiet", "--allow-empty", "-m", "work")
        self.directive = stage.rows.directive("A job", repository_url=str(self.origin))
        self.step, self.task = stage.rows.running_step(self.directive, "Do it")
        self.branch = task_branch("Do it", self.task, 1)

    def deliver(self, **order: object) -> UUID:
        """A delivery that runs."""
        delivery = msgspec.to_builtins(Delivery(action="deliver", title="A job", **order))  # type: ignore[arg-type]
        return self.stage.rows.task(
            self.directive, "completion", status="running", daemon="d1", delivery=msgspec.json.encode(delivery).decode()
        )

    def token(self, task: UUID | None = None, attempt: int = 1) -> str:
        """Of the daemon's git for a task, the step's by default."""
        return git_token(load_secret(self.stage.settings.home), task or self.task, attempt)

    def ask(self, path: str, token: str | None = None, directive: UUID | None = None, **more: object) -> httpx.Response:
        """A request over the gateway's own socket."""
        headers = {"Authorization": f"Bearer {self.token() if token is None else token}"}
        headers |= more.pop("headers", {})  # type: ignore[arg-type]
        transport = httpx.HTTPTransport(uds=str(self.stage.settings.gateway_socket()))
        with httpx.Client(transport=transport, base_url="http://gateway", timeout=30) as client:
            address = f"/v1/git/{(directive or self.directive).hex}/{path}"
            return client.request("POST" if "content" in more else "GET", address, headers=headers, **more)  # type: ignore[arg-type]

    def push(self, content: bytes, **more: object) -> httpx.Response:
        """What a push sends."""
        return self.ask("git-receive-pack", content=content, headers={"Content-Type": PUSHED}, **more)  # type: ignore[arg-type]

    def commands(self, *commands: str, capabilities: str = "report-status side-band-64k") -> bytes:
        """The beginning of a push."""
        first, *others = (command.encode() for command in commands)
        return b"".join((line(b"%b\0 %b" % (first, capabilities.encode())), *map(line, others))) + b"0000"

    def pack(self) -> bytes:
        """The work, as git sends it."""
        asked = b"HEAD\n^origin/main\n"
        packing = ("git", "pack-objects", "--revs", "--stdout", "-q")
        return subprocess.run(packing, cwd=self.clone, input=asked, capture_output=True, check=True).stdout

    @property
    def work(self) -> str:
        """The commit to push."""
        return git(self.clone, "rev-parse", "HEAD")

    def refs(self) -> dict[str, str]:
        """What the repository has."""
        listed = git(self.origin, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(entry.split(" ") for entry in listed)  # type: ignore[misc]


class Door:
    """A port that leads to the gateway's socket, as the daemon's does over the link."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bound = socket.create_server(("127.0.0.1", 0))
        self.port = self._bound.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._bound.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._bound.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(str(self._path))
                for ends in ((here, there), (there, here)):
                    threading.Thread(target=_hand_on, args=ends, daemon=True).start()


def _hand_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@pytest.fixture
def world(stage: ServiceHarness, tmp_path: Path) -> World:
    return World(stage, tmp_path)


@pytest.fixture
def door(stage: ServiceHarness) -> Iterator[Door]:
    with closing(Door(stage.settings.gateway_socket())) as opened:
        yield opened


def by_git(world: World, door: Door, *arguments: str, task: UUID | None = None) -> tuple[int, str]:
    """git's own word on a command with the address of the repository at its end or at REMOTE."""
    address = f"http://127.0.0.1:{door.port}/v1/git/{world.directive.hex}"
    said = [address if part == "REMOTE" else part for part in arguments]
    header = f"http.extraHeader=Authorization: Bearer {world.token(task)}"
    done = subprocess.run(
        ["git", "-c", header, *said],
        cwd=world.clone,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("where", ["refs/heads/", "refs/"])
def test_git_fetches_and_pushes_the_branch_of_its_attempt(world: World, door: Door, where: str) -> None:
    code, said = by_git(world, door, "ls-remote", "REMOTE")
    assert code == 0 and f"{world.refs()['refs/heads/main']}\tHEAD" in said
    ref = where + world.branch
    assert by_git(world, door, "push", "REMOTE", f"HEAD:{ref}")[0] == 0
    assert world.refs()[ref] == world.work
    git(world.clone, "commit", "--quiet", "--amend", "--allow-empty", "-m", "again")
    assert by_git(world, door, "push", "--force", "REMOTE", f"HEAD:{ref}")[0] == 0, "an attempt's branch is its own"
    assert by_git(world, door, "fetch", "REMOTE", ref)[0] == 0
    assert git(world.clone, "rev-parse", "FETCH_HEAD") == world.refs()[ref]


@pytest.mark.parametrize("size", [0, 3_000_000], ids=["small", "large"])
@pytest.mark.parametrize(
    "ref", ["main", "makima/do-it-01234567", "makima/directive-a-job", "{branch}-2", "{branch}x", "../heads/{branch}"]
)
def test_no_other_ref_is_pushed_to(world: World, door: Door, ref: str, size: int) -> None:
    (world.clone / "file").write_bytes(os.urandom(size))
    git(world.clone, "add", ".")
    git(world.clone, "commit", "--quiet", "--allow-empty", "-m", "more")
    before = world.refs()
    named = f"refs/heads/{ref.format(branch=world.branch)}"
    if ".." in named:  # git itself sends none such
        body = world.commands(f"{NONE} {world.work} {named}") + world.pack()
        assert b"may push to" in world.push(body).content
    else:
        code, said = by_git(world, door, "push", "REMOTE", f"HEAD:{named}")
        own = f"refs/heads/{world.branch}, refs/{world.branch}"
        assert code and f"[remote rejected] HEAD -> {named.removeprefix('refs/heads/')}" in said, said
        assert f"(this task may push to {own} only)" in said
    assert world.refs() == before


def test_one_ref_that_may_not_be_pushed_to_keeps_the_others_from_it(world: World, door: Door) -> None:
    before = world.refs()
    own, other = f"refs/heads/{world.branch}", "refs/heads/theirs"
    code, said = by_git(world, door, "push", "REMOTE", f"HEAD:{own}", f"HEAD:{other}")
    assert code and "another ref of the same push is refused" in said and world.refs() == before


def test_a_step_removes_nothing(world: World, door: Door) -> None:
    by_git(world, door, "push", "REMOTE", f"HEAD:refs/heads/{world.branch}")
    git(world.origin, "branch", "theirs")
    before = world.refs()
    for branch in (world.branch, "theirs", "main"):
        code, said = by_git(world, door, "push", "REMOTE", f":refs/heads/{branch}")
        assert code and "this task may not remove it" in said
    assert world.refs() == before


@pytest.mark.parametrize("base", [None, "main"])
def test_a_delivery_pushes_its_branch_and_the_base_and_removes_the_branches_of_its_steps(
    world: World, door: Door, base: str | None
) -> None:
    git(world.origin, "switch", "--quiet", "-c", "elsewhere")
    git(world.origin, "symbolic-ref", "HEAD", "refs/heads/main")
    git(world.origin, "config", "core.bare", "true")
    world.stage.rows.change("directive", world.directive, base_branch=base)
    done = StepBranch(id=world.step, name="Do it", branch="makima/do-it-1")
    git(world.origin, "branch", done.branch)
    git(world.origin, "branch", "theirs")
    task = world.deliver(steps=(done,), merge_into_base=True, remove_branches=True)
    target = delivery_branch("A job", world.directive)
    for branch in (target, "main"):
        assert by_git(world, door, "push", "REMOTE", f"HEAD:refs/heads/{branch}", task=task)[0] == 0
        assert world.refs()[f"refs/heads/{branch}"] == world.work
    assert by_git(world, door, "push", "REMOTE", f":refs/heads/{done.branch}", task=task)[0] == 0
    for refspec in (":refs/heads/theirs", f":refs/heads/{target}", "HEAD:refs/heads/theirs", "HEAD:refs/heads/new"):
        assert by_git(world, door, "push", "REMOTE", refspec, task=task)[0] != 0
    assert set(world.refs()) == {f"refs/heads/{name}" for name in ("main", "elsewhere", "theirs", target)}


def test_a_delivery_overwrites_nobodys_work(world: World, door: Door) -> None:
    task, target = world.deliver(), delivery_branch("A job", world.directive)
    assert by_git(world, door, "push", "REMOTE", f"HEAD:refs/heads/{target}", task=task)[0] == 0
    before = world.refs()
    git(world.clone, "commit", "--quiet", "--amend", "--allow-empty", "-m", "again")
    code, said = by_git(world, door, "push", "--force", "REMOTE", f"HEAD:refs/heads/{target}", task=task)
    assert code and "non-fast-forward" in said and world.refs() == before


def test_a_branch_that_is_checked_out_is_refused_as_git_refuses_it_nearby(world: World, door: Door) -> None:
    task, before = world.deliver(merge_into_base=True), world.refs()
    code, said = by_git(world, door, "push", "REMOTE", "HEAD:refs/heads/main", task=task)
    assert code and "branch is currently checked out" in said and world.refs() == before


def test_planning_pushes_nothing(world: World, door: Door) -> None:
    plan = world.stage.rows.task(world.directive, "plan", status="running", daemon="d1")
    assert by_git(world, door, "ls-remote", "REMOTE", task=plan)[0] == 0
    code, said = by_git(world, door, "push", "REMOTE", "HEAD:refs/heads/makima/x", task=plan)
    assert code and "this task may push nothing" in said


def test_a_hook_of_the_repository_decides_too_and_knows_nothing_of_the_cluster(world: World, door: Door) -> None:
    seen, hook = world.origin / "seen", world.origin / ".git" / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\nenv > "{seen}"\necho "not on a Friday" >&2\nexit 1\n')
    hook.chmod(0o755)
    before = world.refs()
    code, said = by_git(world, door, "push", "REMOTE", f"HEAD:refs/heads/{world.branch}")
    assert code and "not on a Friday" in said and world.refs() == before
    known = {entry.partition("=")[0] for entry in seen.read_text().splitlines()}
    assert "GIT_DIR" in known and not [name for name in known if name.startswith("MAKIMA_") or "POSTGRES" in name]


def who(world: World, name: str) -> str:
    """Tokens that are none of a live attempt's git."""
    secret = load_secret(world.stage.settings.home)
    match name:
        case "none":
            return "x"
        case "agent":
            return task_token(secret, world.task, 1)
        case "person":
            return (world.stage.settings.home / "token").read_text().strip()
        case "agent's, renamed":
            return task_token(secret, world.task, 1).replace("mkt_", "mkg_")
        case "another attempt":
            return world.token(attempt=2)
        case "another task's, renamed":
            return world.token(uuid4()).replace("mkg_", "mkg_", 1)
        case _:
            return world.token()[:-1] + ("0" if world.token()[-1] != "0" else "1")


@pytest.mark.parametrize(
    "name",
    ["none", "agent", "person", "agent's, renamed", "another attempt", "another task's, renamed", "forged"],
)
def test_only_the_token_of_a_live_attempts_git_counts(world: World, name: str) -> None:
    before = world.refs()
    answer = world.ask("info/refs?service=git-upload-pack", token=who(world, name))
    assert answer.status_code == 403 and answer.headers["content-type"].startswith("text/plain")
    assert answer.text.count("\n") == 1 and world.work not in answer.text
    body = world.commands(f"{NONE} {world.work} refs/heads/{world.branch}") + world.pack()
    assert world.push(body, token=who(world, name)).status_code == 403
    assert world.refs() == before


def test_an_attempt_that_has_ended_reaches_nothing(world: World) -> None:
    world.stage.rows.put("task", world.task, status="failed")
    answer = world.ask("info/refs?service=git-upload-pack")
    assert (answer.status_code, answer.text) == (403, "the token's attempt has ended\n")


def test_a_task_reaches_the_repository_of_no_other_directive(world: World) -> None:
    other = world.stage.rows.directive("Another", repository_url=str(world.origin))
    answer = world.ask("info/refs?service=git-upload-pack", directive=other)
    assert (answer.status_code, answer.text) == (403, "a task reaches the repository of its own directive only\n")


def test_what_is_no_folder_or_is_gone_is_said(world: World) -> None:
    for url, said in (
        ("https://example.org/a.git", "the directive's repository has an address of its own\n"),
        ("/not/there", "the repository /not/there isn't on the cluster's machine\n"),
    ):
        world.stage.rows.change("directive", world.directive, repository_url=url)
        answer = world.ask("info/refs?service=git-upload-pack")
        assert (answer.status_code, answer.text) == (404, said)
    world.stage.rows.change("directive", world.directive, repository_url=str(world.origin.parent))
    answer = world.ask("info/refs?service=git-upload-pack")
    assert answer.status_code == 500 and "does not appear to be a git repository" in answer.text


def test_over_tcp_there_is_no_git(world: World) -> None:
    address = f"http://127.0.0.1:{world.stage.settings.port}/v1/git/{world.directive.hex}"
    headers = {"Authorization": f"Bearer {world.token()}"}
    for method, path in (("GET", "info/refs?service=git-upload-pack"), ("POST", "git-receive-pack")):
        assert httpx.request(method, f"{address}/{path}", headers=headers).status_code == 404


@pytest.mark.parametrize("path", ["HEAD", "objects/info/packs", "config", "../secret", "info/refs/", ""])
def test_nothing_but_gits_services_is_there(world: World, path: str) -> None:
    assert world.ask(path).status_code == 404


@pytest.mark.parametrize("query", ["", "?service=git-upload-archive", "?service=git-upload-pack&x=1", "?service="])
def test_no_other_service_is_advertised(world: World, query: str) -> None:
    assert world.ask(f"info/refs{query}").status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"", b"0", b"PACK", b"zzzz", b"0000PACK"[:3], b"0001", b"0004", b"fffe" + b"x" * 100, b"0010abc",
        line(b"push-cert\0 x") + b"0000",
        line(b"x" * 60) + b"0000",
        line(f"{NONE} {'A' * 40} refs/heads/x\0".encode()) + b"0000",
        line(f"{NONE} {'1' * 64} refs/heads/x\0".encode()) + b"0000",
        line(f"{NONE} {'1' * 40} refs/heads/\xff\0".encode("latin-1")) + b"0000",
        line(f"{NONE} {'1' * 40} refs/heads/x\0".encode()) * 2 + b"0000",
        line(f"{NONE} {'1' * 40} refs/heads/{'x' * 60_000}".encode()) * (MAX_BYTES // 60_000 + 1) + b"0000",
        line(f"{NONE} {'1' * 40} refs/heads/x".encode()),
    ],
)  # fmt: skip
def test_a_push_that_git_would_not_send_is_refused(world: World, body: bytes) -> None:
    before = world.refs()
    answer = world.push(body)
    assert answer.status_code == 400 and answer.text.startswith("the push can't be read: ")
    assert answer.text.count("\n") == 1 and world.refs() == before


def test_a_push_that_comes_again_changes_nothing(world: World) -> None:
    body = world.commands(f"{NONE} {world.work} refs/heads/{world.branch}") + world.pack()
    assert b"ok refs/heads" in world.push(body).content
    git(world.origin, "update-ref", f"refs/heads/{world.branch}", "main")
    before = world.refs()
    assert b"ng refs/heads" in world.push(body).content and world.refs() == before


def test_a_pack_that_is_broken_or_not_all_there_moves_nothing(world: World) -> None:
    before, pack = world.refs(), world.pack()
    commands = world.commands(f"{NONE} {world.work} refs/heads/{world.branch}")
    for broken in (b"", pack[:-5], pack[:20], b"PACK" + b"\xff" * 500, pack[:30] + b"\0" + pack[31:]):
        assert b"ok refs/heads" not in world.push(commands + broken).content
    assert world.refs() == before and not list((world.origin / ".git" / "objects").glob("*incoming*"))


class Slow:
    """A push that is sent in parts."""

    def __init__(self, world: World, begins: bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(world.stage.settings.gateway_socket()))
        head = f"POST /v1/git/{world.directive.hex}/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Type: {PUSHED}\r\n"
        head += f"Authorization: Bearer {world.token()}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.socket.sendall(head.encode())
        self.send(begins)

    def send(self, data: bytes) -> None:
        """A part; with none it is all."""
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def answer(self) -> bytes:
        """The beginning of what is answered."""
        self.socket.settimeout(30)
        return self.socket.recv(65536)


def gits(stage: ServiceHarness) -> list[str]:
    """What git runs for the gateway."""
    running = []
    for child in psutil.Process(stage.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                running.append(child.name())
    return running


def test_a_push_that_is_cut_off_moves_nothing_and_leaves_nothing(world: World) -> None:
    before = world.refs()
    (world.clone / "large").write_bytes(os.urandom(2_000_000))
    git(world.clone, "add", ".")
    git(world.clone, "commit", "--quiet", "-m", "large")
    body = world.commands(f"{NONE} {world.work} refs/heads/{world.branch}") + world.pack()
    for cut in (50, len(body) // 2, len(body) - 1, len(body)):
        slow = Slow(world, body[:cut])
        until(lambda cut=cut: cut < 100 or gits(world.stage), "git takes it in")  # type: ignore[misc]
        slow.socket.close()
        until(lambda: not gits(world.stage), "git is gone", 20)
        assert world.refs() == before, cut
    assert not list((world.origin / ".git" / "objects").glob("*incoming*"))


def test_what_is_pushed_for_an_attempt_that_ends_meanwhile_moves_nothing(world: World) -> None:
    before = world.refs()
    body = world.commands(f"{NONE} {world.work} refs/heads/{world.branch}") + world.pack()
    slow = Slow(world, body[:-10])
    until(lambda: gits(world.stage), "git takes it in")
    world.stage.rows.put("task", world.task, status="failed")
    world.stage.connection.commit()
    slow.send(body[-10:])
    slow.send(b"")
    assert b" 403 " in slow.answer() and world.refs() == before
    until(lambda: not gits(world.stage), "git is gone")


def test_a_task_has_so_many_requests_at_once_and_others_have_theirs(world: World) -> None:
    body = world.commands(f"{NONE} {world.work} refs/heads/{world.branch}")
    slow = [Slow(world, body) for _ in range(MAX_OF_ONE_TASK)]
    until(lambda: len(gits(world.stage)) >= MAX_OF_ONE_TASK, "all are taken in")
    asked = "info/refs?service=git-upload-pack"
    assert world.ask(asked).status_code == 503
    assert world.ask(asked, token=world.token(world.deliver())).status_code == 200
    for one in slow:
        one.socket.close()
    until(lambda: world.ask(asked).status_code == 200, "there is room again")


def test_what_a_fetch_asks_is_bounded_however_it_is_packed(world: World) -> None:
    wanted = line(f"want {world.refs()['refs/heads/main']}\n".encode())
    bomb = gzip.compress(wanted * (MAX_ASKED_BYTES // len(wanted) + 1))
    given = ((bomb, "gzip", 413), (b"junk", "gzip", 400), (bomb[:99], "gzip", 400), (b"x", "br", 415))
    for content, encoding, status in given:
        answer = world.ask("git-upload-pack", content=content, headers={"Content-Encoding": encoding})
        assert answer.status_code == status, answer.text


def test_a_fetch_that_git_packs_is_answered(world: World, door: Door) -> None:
    for n in range(60):  # more than it sends unpacked
        git(world.origin, "branch", f"b{n}", "main")
    git(world.clone, "checkout", "--quiet", "--orphan", "none")
    assert by_git(world, door, "clone", "--quiet", "REMOTE", "again")[0] == 0
    assert len(git(world.clone / "again", "branch", "-r").splitlines()) >= 60


@pytest.mark.parametrize("version", ["version=2", "version=1", None, "version=2:x", "$(id)"])
def test_every_version_of_the_protocol_is_spoken_and_no_other(world: World, version: str | None) -> None:
    answer = world.ask("info/refs?service=git-upload-pack", headers={"Git-Protocol": version} if version else {})
    begins = b"000eversion 2" if version == "version=2" else b"001e# service=git-upload-pack\n0000"
    assert answer.status_code == 200 and answer.content.startswith(begins)


def test_a_gateway_that_dies_as_it_takes_a_push_leaves_nothing_half_done(world: World) -> None:
    before = world.refs()
    body = world.commands(f"{NONE} {world.work} refs/heads/{world.branch}") + world.pack()
    slow = Slow(world, body[:-10])
    until(lambda: gits(world.stage), "git takes it in")
    left = psutil.Process(world.stage.pid).children(recursive=True)
    world.stage.kill()
    slow.socket.close()
    assert not psutil.wait_procs(left, timeout=20)[1], "git has ended with it"
    assert world.refs() == before and not list((world.origin / ".git" / "objects").glob("*incoming*"))
    world.stage.start()
    assert b"ok refs/heads" in world.push(body).content
