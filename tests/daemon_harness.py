"""A real daemon process with a remote, against a ROUTER that plays the broker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import zmq

from shared.config import load
from shared.config.home import make_home
from shared.domain.ids import new_id
from shared.messages.commands import AnyCommand, SpawnTask
from shared.messages.frames import COMMANDS, REPORT_REPLIES, REPORTS, header
from shared.messages.reports import (
    Ack,
    AnyReport,
    AnyReportReply,
    Goodbye,
    Heartbeat,
    Hello,
    TaskFailed,
    TaskInterrupted,
    TaskSucceeded,
)
from tests import forked
from tests.broker_authenticator import authenticator, guarded
from tests.shell import sh as sh
from tests.waiting import until

ROOT = Path(__file__).parents[1]
DEADLINE_SECONDS = 30.0


class DaemonHarness:
    """A broker's socket, a daemon, a remote."""

    def __init__(self, folder: Path, wrapper: Sequence[str] = (), **more: str) -> None:
        self.folder = folder
        self._wrapper = wrapper
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "MAKIMA_HOME": str(folder / "h"),
            "MAKIMA_DAEMON_NAME": "d1",
            "MAKIMA_HEARTBEAT_SECONDS": "0.3",
            "MAKIMA_SANDBOX_WRITABLE": str(folder),  # where agents leave marks for their tests; its home stays hidden
            **more,
        }
        self.settings = load(self.environment)
        make_home(self.settings.home)
        self.settings.run_folder().mkdir()
        self.context = zmq.Context()
        self.door = authenticator(self.context, self.settings)
        self.router = guarded(self.context.socket(zmq.ROUTER), "daemons")
        self.router.setsockopt(zmq.LINGER, 0)
        self.router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self.router.bind(self.settings.socket("daemons"))
        self.seen: list[AnyReport] = []
        self.acknowledging = True
        self.remote = folder / "remote.git"
        sh(folder, "git", "init", "--quiet", "--bare", "-b", "main", str(self.remote))
        sh(folder, "git", "clone", "--quiet", str(self.remote), "seed")
        (folder / "seed" / "a.txt").write_text("a\n")
        sh(folder / "seed", "git", "checkout", "-q", "-B", "main")
        sh(folder / "seed", "git", "add", ".")
        sh(folder / "seed", "git", "commit", "-qm", "first")
        sh(folder / "seed", "git", "push", "-q", "origin", "main")
        self.start()

    def start(self) -> None:
        self.process = forked.start("services.daemon", self.environment, wrapper=self._wrapper)
        earlier = {id(report) for report in self.seen}
        self.wait(lambda r: isinstance(r, Hello) and id(r) not in earlier)  # a router drops what is sent before it

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.router.close()
        self.door.stop()
        self.context.term()

    def send(self, *commands: AnyCommand) -> None:
        self.router.send_multipart([b"d1", b"commands", header("test"), COMMANDS.encode(commands)])

    def reply(self, *replies: AnyReportReply) -> None:
        self.router.send_multipart([b"d1", b"acks", header("test"), REPORT_REPLIES.encode(replies)])

    def wait(self, wanted: Callable[[AnyReport], bool], seconds: float = DEADLINE_SECONDS) -> AnyReport:
        """The first report that is wanted, of those seen and those to come."""
        if found := next((r for r in self.seen if wanted(r)), None):
            return found
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if found := next((r for r in self.receive(left) if wanted(r)), None):
                return found
        raise AssertionError(f"not within {seconds} s; seen: {self.seen[-10:]}")

    def receive(self, seconds: float) -> list[AnyReport]:
        """What comes next, acknowledged; nothing when nothing comes in time."""
        if not self.router.poll(int(seconds * 1000) + 1):
            return []
        _, topic, _, body = self.router.recv_multipart()
        assert topic == b"reports"
        reports = REPORTS.decode(body)
        self.seen += reports
        seqs = tuple(r.seq for r in reports if not isinstance(r, Hello | Heartbeat | Goodbye))
        if self.acknowledging and seqs:
            self.reply(Ack(seqs=seqs))
        return reports

    def until(self, condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
        """Go on receiving until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s; seen: {self.seen[-10:]}"
            self.receive(0.05)

    def commit(self, path: str, text: str) -> None:
        """A commit on the remote's main."""
        seed = self.folder / "seed"
        (seed / path).write_text(text)
        sh(seed, "git", "add", ".")
        sh(seed, "git", "commit", "-q", "--allow-empty", "-m", path)
        sh(seed, "git", "push", "-q", "origin", "main")

    def ending(self, task: UUID) -> AnyReport:
        return self.wait(lambda r: isinstance(r, TaskSucceeded | TaskFailed | TaskInterrupted) and r.task == task)

    def spawn(self, prompt: str, task: UUID | None = None, **more: object) -> SpawnTask:
        task = task or new_id()
        values: dict[str, object] = {
            "owner": "default",
            "directive": new_id(),
            "kind": "step",
            "name": "Do it",
            "branch": f"makima/do-it-{task.hex[-8:]}",
            "repository_url": str(self.remote),
        }
        return SpawnTask(task=task, attempt=1, prompt=prompt, task_plan=prompt, **{**values, **more})  # type: ignore[arg-type]

    def branches(self) -> list[str]:
        return sh(self.remote, "git", "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()


def marked(task: UUID) -> list[str]:
    """The live processes that carry a task's marker."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"MAKIMA_TASK_ID={task}".encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found


def no_process_of(task: UUID, seconds: float = 30.0) -> bool:
    """Whether all of a task's processes end in time."""
    return until(lambda: not marked(task), lambda: f"no process of the task is left: {marked(task)}", seconds)
