"""A real daemon and agents that misbehave: each ends as said, leaves no process, and the next task is not disturbed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from shared.domain.ids import new_id
from shared.messages.commands import CancelTask, SpawnTask, TellTask
from shared.messages.reports import (
    Heartbeat,
    MessageDelivered,
    OutputBatch,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
    TaskUsage,
)
from tests.daemon_harness import DaemonHarness, marked, no_process_of, sh
from tests.sampled import sampled

LEAK_BYTES = 64 << 20

SPEAKER = """
import json, os, signal, subprocess, sys, time
out = lambda **line: print(json.dumps(line), flush=True)
arguments = sys.argv[1:]
resumed = "--resume" in arguments
session = arguments[arguments.index("--resume" if resumed else "--session-id") + 1]
told = lambda: json.loads(sys.stdin.readline())["message"]["content"]
prompt = told()
out(type="system", subtype="init", session_id=session)
usage = {"input_tokens": 10, "output_tokens": 1}
words = lambda text: {"id": text, "content": [{"type": "text", "text": text}], "usage": usage}
say = lambda text: out(type="assistant", message=words(text))
def done(text="done"):
    took = {"m": {"inputTokens": 10, "outputTokens": 2}}
    out(type="result", subtype="success", is_error=False, result=text, total_cost_usd=0.5, modelUsage=took)
"""
"""The beginning of an agent that speaks claude's lines; each test says how it goes on."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[WrappedHouse]:
    house = WrappedHouse(tmp_path)
    yield house
    house.close()


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[WrappedHouse]:
    """A house whose daemon takes an agent for stalled soon."""
    house = WrappedHouse(tmp_path, MAKIMA_STALL_SECONDS="3")
    yield house
    house.close()


@pytest.fixture(params=["true", "false"], ids=["by its control group", "by its marks"])
def either(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WrappedHouse]:
    """Daemons that find an attempt's processes in either way; where the machine has no control groups, in one."""
    house = WrappedHouse(tmp_path, MAKIMA_CONTROL_GROUPS=request.param)
    yield house
    house.close()


class WrappedHouse(DaemonHarness):
    """A house whose daemon runs `wrapped`: an agent that speaks as claude does, and goes on as a test says."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.agent = folder / "agent.py"
        config = folder / "makima.toml"
        config.write_text(
            "stall_seconds = 25.0\nexit_seconds = 1.0\n"
            f'[agents.wrapped]\nkind = "claude"\ncommand = ["{sys.executable}", "{self.agent}"]\n'
        )
        ssh = folder / "ssh"
        ssh.write_text(f"#!/bin/sh\ntouch {folder}/reached\nsleep 300\n")
        ssh.chmod(0o755)
        super().__init__(
            folder, MAKIMA_CONFIG=str(config), GIT_SSH_COMMAND=str(ssh), SOME_SECRET="of the daemon", **more
        )

    def runs(self, body: str, **more: object) -> SpawnTask:
        self.agent.write_text(SPEAKER + body)
        command = self.spawn("the task", agent="wrapped", **more)
        self.send(command)
        return command

    def said(self, command: SpawnTask) -> list[str]:
        return [ln for r in self.seen if isinstance(r, OutputBatch) and r.task == command.task for ln in r.lines]

    def next_task_is_well(self) -> None:
        command = self.spawn("echo well")
        self.send(command)
        assert isinstance(self.ending(command.task), TaskSucceeded)


def test_one_that_hangs_after_its_result_has_succeeded(house: WrappedHouse) -> None:
    command = house.runs("say('hello'); done('all is done'); time.sleep(300)")
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded) and end.outcome == "all is done\n\nnothing changed"
    assert (end.cost_usd, end.tokens) == (0.5, 12)
    assert no_process_of(command.task)
    house.next_task_is_well()


def test_a_daemon_that_stops_keeps_what_an_agent_has_done_that_will_be_resumed(house: WrappedHouse) -> None:
    command = house.runs("open('work.txt', 'w').write('half'); say('begun'); time.sleep(300)")
    house.until(lambda: "begun" in house.said(command))
    house.process.send_signal(signal.SIGTERM)
    end = house.ending(command.task)
    assert isinstance(end, TaskInterrupted) and not end.cancelled and end.session is not None
    assert end.branch == command.branch
    assert sh(house.remote, "git", "show", f"{command.branch}:work.txt") == "half"
    assert house.process.wait(20) == 0 and no_process_of(command.task)


def test_of_a_cancelled_agent_nothing_is_kept(house: WrappedHouse) -> None:
    command = house.runs("open('work.txt', 'w').write('half'); say('begun'); time.sleep(300)")
    house.until(lambda: "begun" in house.said(command))
    house.send(CancelTask(task=command.task, attempt=1, owner="default", reason="enough"))
    end = house.ending(command.task)
    assert isinstance(end, TaskInterrupted) and end.cancelled and end.branch is None
    assert command.branch not in house.branches()


def test_one_that_hangs_silently_is_resumed_once_and_then_has_failed(impatient: WrappedHouse) -> None:
    command = impatient.runs("say('resumed' if resumed else 'begun'); time.sleep(300)")
    end = impatient.ending(command.task)
    assert isinstance(end, TaskFailed) and end.reason == "the agent wrapped was silent for too long: stopped"
    assert not end.permanent and end.session is not None
    assert [line for line in impatient.said(command) if line in ("begun", "resumed")] == ["begun", "resumed"]
    assert end.tokens == 22, "what was resumed counts besides what came before"
    assert no_process_of(command.task)


def test_one_that_hangs_once_and_then_works_has_succeeded(impatient: WrappedHouse) -> None:
    body = "open('a', 'a').write('x')\nif not resumed: say('hm'); time.sleep(300)\ndone(prompt)"
    end = impatient.ending(impatient.runs(body).task)
    assert isinstance(end, TaskSucceeded) and end.outcome.startswith("You were silent for too long")


def test_a_tool_that_runs_is_no_silence(impatient: WrappedHouse) -> None:
    call = {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "make"}}
    back = {"type": "tool_result", "tool_use_id": "t", "content": "made"}
    body = (
        f"out(type='assistant', message={{'id': 'm', 'content': [{call}]}}); time.sleep(5)\n"
        f"out(type='user', message={{'content': [{back}]}}); done()"
    )
    command = impatient.runs(body)
    assert isinstance(impatient.ending(command.task), TaskSucceeded)
    assert "> Bash: make" in impatient.said(command) and "  made" in impatient.said(command)


def test_one_that_ends_without_a_result_is_resumed_and_its_work_is_kept(house: WrappedHouse) -> None:
    command = house.runs("open('work.txt', 'w').write('half')")
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed) and end.reason == "the agent wrapped ended without a result"
    assert end.branch == command.branch
    assert sh(house.remote, "git", "show", f"{command.branch}:work.txt") == "half"


def test_exit_137_is_a_failure_that_is_told_in_words(house: WrappedHouse) -> None:
    command = house.runs("say('hello'); sys.exit(137)")
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed) and end.exit_code == 137
    assert end.reason == "the agent wrapped ended with exit code 137 (a process of it got SIGKILL)"


def test_a_server_that_it_leaves_listening_is_ended(either: WrappedHouse) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = f"import socket,time; s=socket.create_server(('127.0.0.1',{port})); print('up',flush=True); time.sleep(300)"
    how = "start_new_session=True, stdout=subprocess.PIPE, env={}"
    start = f"p = subprocess.Popen([sys.executable, '-c', {serve!r}], {how})"
    command = either.runs(f"{start}; p.stdout.readline(); done()")
    assert isinstance(either.ending(command.task), TaskSucceeded)
    assert no_process_of(command.task)
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)), "its server, which had cleared its environment, still listens"


def test_one_that_ignores_sigterm_and_forks_away_is_cancelled_whole(either: WrappedHouse) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nif os.fork() == 0:\n os.setsid()\n os.fork()\n"
    command = either.runs(deaf + "say('here'); time.sleep(300)")
    either.wait(lambda r: isinstance(r, OutputBatch) and r.task == command.task)
    either.send(CancelTask(task=command.task, attempt=1, owner="default", reason="enough"))
    end = either.ending(command.task)
    assert isinstance(end, TaskInterrupted) and end.cancelled
    assert not marked(command.task), "it is said only once no process is left"


@pytest.mark.parametrize("mebibytes", [256, pytest.param(1024, marks=pytest.mark.long)])
def test_a_flood_and_a_line_without_end_cost_the_daemon_no_memory(house: WrappedHouse, mebibytes: int) -> None:
    warm = house.spawn("echo warm")
    house.send(warm)
    house.ending(warm.task)
    before = psutil.Process(house.process.pid).memory_info().rss
    flood = (
        "block = b'some words of a line\\n' * 4096\n"
        f"for _ in range(({mebibytes} << 20) // len(block)): sys.stdout.buffer.write(block)\n"
        "sys.stdout.buffer.write(b'x' * (50 << 20)); sys.stdout.buffer.write(b'\\0' * (1 << 20) + b'\\xff\\n'); done()"
    )
    script = house.spawn(f"{sys.executable} - <<'EOF'\nimport sys\ndone = lambda: print('the end')\n{flood}\nEOF")
    house.send(script)
    peak, ended = before, False
    while not ended:
        peak = max(peak, psutil.Process(house.process.pid).memory_info().rss)
        ended = any(isinstance(r, TaskSucceeded | TaskFailed) and r.task == script.task for r in house.receive(30))
    end = house.ending(script.task)
    assert isinstance(end, TaskSucceeded) and end.outcome.endswith("the end\n\nnothing changed")
    assert peak - before < LEAK_BYTES, f"{(peak - before) >> 20} MiB"
    house.next_task_is_well()


def test_a_full_disk_is_a_failure_of_the_task_and_not_of_the_daemon(house: WrappedHouse, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False).returncode
    fill = f"head -c 8M /dev/zero >{small if mounted == 0 else '/dev/full'}{'/file' if mounted == 0 else ''}"
    try:
        command = house.spawn(fill)
        house.send(command)
        end = house.ending(command.task)
    finally:
        if mounted == 0:
            subprocess.run(["umount", str(small)], check=True)
    assert isinstance(end, TaskFailed) and end.exit_code == 1 and "No space left on device" in end.tail
    house.next_task_is_well()


def test_what_it_takes_is_said_while_it_runs(house: WrappedHouse) -> None:
    command = house.runs("say('one'); time.sleep(1); done()")
    usage = house.wait(lambda r: isinstance(r, TaskUsage) and r.task == command.task)
    assert isinstance(usage, TaskUsage) and usage.tokens == 11
    house.ending(command.task)


def test_it_gets_nothing_of_what_the_daemon_was_started_with(house: WrappedHouse) -> None:
    command = house.runs("say(' '.join(sorted(os.environ))); done()")
    house.ending(command.task)
    names = set(house.said(command)[0].split())
    assert {"PATH", "HOME", "MAKIMA_TOKEN", "MAKIMA_TASK_ID", "MAKIMA_DIRECTIVE_ID"} <= names
    assert not {n for n in names if n.startswith(("CLAUDE", "GH_", "GITHUB_"))} and "SOME_SECRET" not in names
    assert "MAKIMA_HOME" not in names and "MAKIMA_CONFIG" not in names


def test_a_secret_that_it_prints_never_leaves_the_daemon(house: WrappedHouse) -> None:
    command = house.runs("say('token ' + os.environ['MAKIMA_TOKEN']); done()", token="mkt_an_unguessable_one")
    house.ending(command.task)
    assert house.said(command) == ["token ***"]


def test_a_word_reaches_it_while_it_runs(house: WrappedHouse) -> None:
    command = house.runs("say('ready'); say('heard ' + told()); done()")
    house.wait(lambda r: isinstance(r, OutputBatch) and r.task == command.task)
    message = new_id()
    tell = TellTask(task=command.task, attempt=1, owner="default", message=message, text="use tabs")
    house.send(tell, tell)
    assert isinstance(house.ending(command.task), TaskSucceeded)
    assert "heard use tabs" in house.said(command)
    assert house.said(command).count("[a person says: use tabs]") == 1, "what it was told is in its log, once"
    said = [r for r in house.seen if isinstance(r, MessageDelivered)]
    assert [(m.message, m.how) for m in said] == [(message, "while_it_ran")]


def test_a_check_that_fails_goes_back_to_it_with_its_output(house: WrappedHouse) -> None:
    settings = (
        'setup = "echo made >.set-up"\ncheck = "cat .set-up; echo seen: $(cat a.txt); test $(cat a.txt) = good"\n'
    )
    house.commit(".makima.toml", settings)
    body = "open('a.txt', 'w').write('good' if resumed and 'seen: bad' in prompt else 'bad'); done()"
    command = house.runs(body)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded), end
    assert sh(house.remote, "git", "show", f"{command.branch}:a.txt") == "good"
    assert end.cost_usd == 1.0 and end.tokens == 24, "both rounds count"


def test_a_check_that_goes_on_failing_ends_the_attempt(house: WrappedHouse) -> None:
    house.commit(".makima.toml", 'check = "echo no good; exit 3"\n')
    end = house.ending(house.runs("done()").task)
    assert isinstance(end, TaskFailed) and end.reason == "the check `echo no good; exit 3` fails: exit code 3: no good"
    assert end.cost_usd == 1.5, "the first round and two more"


def test_settings_of_the_repository_that_cannot_be_are_one_clear_line(house: WrappedHouse) -> None:
    house.commit(".makima.toml", "chekc = 1\n")
    end = house.ending(house.runs("done()").task)
    assert isinstance(end, TaskFailed) and end.permanent
    assert "chekc" in end.reason and "setup, check" in end.reason and "\n" not in end.reason


@pytest.mark.parametrize("phase", sampled(("clone", "setup", "agent", "check", "push"), ("clone", "agent", "push")))
def test_cancelled_in_any_phase_it_ends_and_leaves_nothing(house: WrappedHouse, phase: str) -> None:
    wait = f"touch {house.folder}/reached; sleep 300"
    body = "done()"
    if phase in ("setup", "check"):
        house.commit(".makima.toml", f'{phase} = "{wait}"\n')
    elif phase == "agent":
        body = f"subprocess.run({wait!r}, shell=True)"
    elif phase == "push":
        hook = house.remote / "hooks" / "pre-receive"
        hook.write_text(f"#!/bin/sh\n{wait}\n")
        hook.chmod(0o755)
        body = "open('a.txt', 'w').write('new'); done()"
    command = house.runs(body, **({"repository_url": "ssh://nowhere/x.git"} if phase == "clone" else {}))
    house.until(lambda: (house.folder / "reached").exists())
    house.send(CancelTask(task=command.task, attempt=1, owner="default", reason="enough"))
    end = house.ending(command.task)
    assert isinstance(end, TaskInterrupted) and end.cancelled and not marked(command.task)
    assert command.branch not in house.branches()
    (house.remote / "hooks" / "pre-receive").unlink(missing_ok=True)
    house.commit(".makima.toml", "")
    house.next_task_is_well()


def test_cancelled_while_its_work_is_being_committed_it_ends_and_leaves_nothing(tmp_path: Path) -> None:
    """git stands still where the daemon records what the agent left: as it does with a very large folder."""
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin" / "git"
    hold = f"if [ -e {tmp_path}/hold ]; then touch {tmp_path}/reached; sleep 300; fi"
    slow.write_text(f'#!/bin/sh\ncase " $* " in *" write-tree "*) {hold};; esac\nexec {shutil.which("git")} "$@"\n')
    slow.chmod(0o755)
    (tmp_path / "hold").touch()
    house = WrappedHouse(tmp_path, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    try:
        command = house.runs("open('new.txt', 'w').write('new'); done()")
        house.until(lambda: (tmp_path / "reached").exists())
        house.send(CancelTask(task=command.task, attempt=1, owner="default", reason="enough"))
        end = house.ending(command.task)
        assert isinstance(end, TaskInterrupted) and end.cancelled and not marked(command.task)
        assert command.branch not in house.branches()
        (tmp_path / "hold").unlink()
        house.next_task_is_well()
    finally:
        house.close()


def test_started_says_its_session(house: WrappedHouse) -> None:
    command = house.runs("done()")
    end = house.ending(command.task)
    sessions = [r.session for r in house.seen if isinstance(r, TaskStarted) and r.task == command.task]
    assert isinstance(end, TaskSucceeded) and sessions[-1] == end.session


def test_twenty_at_once_miss_no_heartbeat(tmp_path: Path) -> None:
    house = WrappedHouse(tmp_path, MAKIMA_SLOTS="20")
    try:
        tasks = [house.spawn(f"for i in $(seq 200); do echo line $i; done; echo {n} >{n}.txt") for n in range(20)]
        house.send(*tasks)
        last, longest, open_tasks = time.monotonic(), 0.0, {t.task for t in tasks}
        while open_tasks:
            for report in house.receive(30):
                if isinstance(report, Heartbeat):
                    longest, last = max(longest, time.monotonic() - last), time.monotonic()
                elif isinstance(report, TaskSucceeded):
                    open_tasks.discard(report.task)
                assert not isinstance(report, TaskFailed), report
        assert longest < house.settings.lost_seconds, "the broker would have taken it for lost"
        assert {t.branch for t in tasks} <= set(house.branches())
    finally:
        house.close()


def test_what_a_repository_tells_its_agents_comes_along_and_stays_the_base_branchs(house: WrappedHouse) -> None:
    house.commit(".gitignore", "secrets.env\n")
    house.commit(".makima.toml", 'copy_files = ["secrets.env"]\ninstructions = "Use tabs."\n')
    looser = "open('.makima.toml', 'w').write('check = \"exit 9\"')"
    first = house.runs(f"open('secrets.env', 'w').write('A=1'); {looser}; say(prompt); done()")
    assert isinstance(house.ending(first.task), TaskSucceeded)
    assert "Use tabs." in house.said(first)
    second = house.runs("say(open('secrets.env').read()); done()", start_from=first.branch)
    assert isinstance(house.ending(second.task), TaskSucceeded), "the first one's check is not the base branch's"
    assert house.said(second) == [f"[taken along from {first.branch}: secrets.env]", "A=1"]


def test_an_attempt_has_a_longest_time_in_all(tmp_path: Path) -> None:
    house = WrappedHouse(tmp_path, MAKIMA_TASK_SECONDS="1")
    try:
        command = house.runs("while True: say('busy'); time.sleep(0.1)")
        end = house.ending(command.task)
        assert isinstance(end, TaskFailed) and end.reason == "not done after 1 s: ended"
        assert no_process_of(command.task)
    finally:
        house.close()


GIT = "git = lambda *a: subprocess.run(('git', '-c', 'user.name=x', '-c', 'user.email=x@y', *a), check=True)\n"


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("git('checkout', '-q', '--orphan', 'o')", "without a commit that is checked out"),
        ("os.rename('.git', 'git')", "without a commit that is checked out"),
        (
            "git('commit', '-qm', 'x', '--allow-empty')\n"
            "git('-c', 'sequence.editor=echo break >', 'rebase', '-i', 'HEAD~')",
            "left a rebase half-way",
        ),
        (
            "git('init', '-q', 'sub'); git('-C', 'sub', 'commit', '-qm', 'x', '--allow-empty')",
            "a git repository of its own in sub",
        ),
    ],
    ids=["a branch without a commit", "no repository", "a rebase", "a repository"],
)
def test_what_is_not_its_work_is_not_taken_for_it(house: WrappedHouse, does: str, words: str) -> None:
    command = house.runs(f"{GIT}open('new.txt', 'w').write('x')\n{does}; done()")
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed) and words in end.reason and not end.permanent, end
    assert command.branch not in house.branches()
    house.next_task_is_well()


def test_one_that_removes_its_worktree_has_lost_its_work(tmp_path: Path) -> None:
    house = WrappedHouse(tmp_path, MAKIMA_SANDBOX="off")  # in one it can be emptied, but not removed
    try:
        command = house.runs("import shutil; shutil.rmtree(os.getcwd()); done()")
        end = house.ending(command.task)
        assert isinstance(end, TaskFailed) and "its work" in end.reason and not end.permanent, end
        assert command.branch not in house.branches()
        house.next_task_is_well()
    finally:
        house.close()


DONE_TO_ITS_WORKTREE = {
    "a repository": "shutil.rmtree('.git'); git('init', '-q'); git('add', '.'); git('commit', '-qm', 'x')",
    "amends": "git('add', '.'); git('commit', '-q', '--amend', '-m', 'mine')",
    "another branch": "git('checkout', '-qb', 'another'); git('add', '.'); git('commit', '-qm', 'x')",
    "no branch": "git('checkout', '-q', '--detach'); git('add', '.'); git('commit', '-qm', 'x')",
    "a lock": "open(os.path.join(subprocess.getoutput('git rev-parse --git-dir'), 'index.lock'), 'w')",
    "prunes": "git('worktree', 'prune')",
    "permissions": "os.mkdir('no'); os.chmod('no', 0); os.chmod('.', 0o500)",
}


@pytest.mark.parametrize("how", sampled(DONE_TO_ITS_WORKTREE, ("a repository", "a lock", "permissions")))
def test_its_work_is_found_whatever_it_did_to_its_worktree(house: WrappedHouse, how: str) -> None:
    command = house.runs(
        f"import shutil\n{GIT}open('new.txt', 'w').write('its work')\n{DONE_TO_ITS_WORKTREE[how]}; done()"
    )
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded) and end.files_changed == ("new.txt",), end
    assert sh(house.remote, "git", "show", f"{command.branch}:new.txt") == "its work"
    house.next_task_is_well()


def test_programs_that_it_names_to_git_do_not_run_in_the_daemon(house: WrappedHouse) -> None:
    trap = house.folder / "trap"
    ran = house.folder / "ran"
    trap.write_text(f'#!/bin/sh\necho "$0 $*" >>{ran}\nexec "$@"\n')
    trap.chmod(0o755)
    keys = (
        *("core.hooksPath", "core.fsmonitor", "core.sshCommand", "credential.helper", "diff.external", "gpg.program"),
        *("filter.x.clean", "filter.x.smudge", "remote.origin.receivepack", "remote.origin.uploadpack", "core.editor"),
    )
    body = (
        f"for key in {keys!r}: git('config', key, {str(trap)!r})\n"
        "git('config', 'commit.gpgSign', 'true'); git('config', 'user.name', 'Mallory')\n"
        "common = subprocess.getoutput('git rev-parse --git-common-dir'); os.makedirs(common + '/hooks')\n"
        f"for hook in ('pre-commit', 'post-commit', 'pre-push', 'post-checkout', 'reference-transaction'):\n"
        f" os.symlink({str(trap)!r}, common + '/hooks/' + hook)\n"
        "open('.gitattributes', 'w').write('* filter=x diff=x merge=x\\n'); open('a.txt', 'w').write('b')\n"
    )
    command = house.runs(f"{GIT}{body}done()")
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded), end
    ran.unlink(missing_ok=True)  # what the agent's own git ran
    other = house.spawn("git config user.name || true; echo x >>x.txt", start_from=command.branch)
    house.send(other)
    assert isinstance(house.ending(other.task), TaskSucceeded)
    assert not ran.exists(), ran.read_text()
    assert not any("Mallory" in line for line in house.said(other)), "it is named to the tasks that follow"


@pytest.mark.long
def test_a_hundred_thousand_files_are_committed(house: WrappedHouse) -> None:
    command = house.spawn("for d in $(seq 100); do mkdir d$d; (cd d$d; seq 1000 | xargs touch); done")
    house.send(command)
    end = house.wait(lambda r: isinstance(r, TaskSucceeded | TaskFailed) and r.task == command.task, 300)
    assert isinstance(end, TaskSucceeded) and 0 < len(end.files_changed) <= 2000
    house.next_task_is_well()


def test_the_repositorys_agent_works_where_nobody_chose_another(house: WrappedHouse) -> None:
    house.commit(".makima.toml", 'agent = "shell"\n')
    left = house.spawn("echo by the script", agent="wrapped", agent_chosen=False)
    house.send(left)
    assert isinstance(house.ending(left.task), TaskSucceeded) and house.said(left) == ["by the script"]
    started = house.wait(lambda r: isinstance(r, TaskStarted) and r.task == left.task)
    assert isinstance(started, TaskStarted) and started.agent == "shell"
    chosen = house.runs("say('by the one asked for'); done()", agent_chosen=True)
    assert isinstance(house.ending(chosen.task), TaskSucceeded) and house.said(chosen) == ["by the one asked for"]


def test_an_agent_of_the_repository_that_the_daemon_has_not_is_refused_in_words(house: WrappedHouse) -> None:
    house.commit(".makima.toml", 'agent = "nobody"\n')
    command = house.spawn("true", agent_chosen=False)
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed) and end.permanent
    assert end.reason.startswith(".makima.toml of the repository asks for the agent 'nobody': this daemon has no agent")
    assert "add [agents.nobody]" in end.reason


DONE_TO_THE_COPY = {
    "a lock": "open(common + '/refs/remotes/origin/main.lock', 'w')",
    "all of it": "import shutil; shutil.rmtree(common)",
    "its objects": "import shutil; shutil.rmtree(common + '/objects'); os.remove(common + '/HEAD')",
    "its configuration": "open(common + '/config', 'w').write('[core')",
    "its refs": "git('update-ref', 'refs/remotes/origin/main', git_tree); git('gc', '-q', '--prune=now')",
}


@pytest.mark.parametrize("how", sampled(DONE_TO_THE_COPY, ("all of it", "its refs")))
def test_what_it_does_to_the_repositorys_copy_is_not_the_next_tasks(house: WrappedHouse, how: str) -> None:
    tree = "git_tree = subprocess.getoutput('git commit-tree -m x HEAD^{tree}')\n"
    common = "common = os.path.abspath(subprocess.getoutput('git rev-parse --git-common-dir'))\n"
    house.ending(house.runs(f"{GIT}{tree}{common}{DONE_TO_THE_COPY[how]}\ndone()").task)
    house.commit("later.txt", "later")
    command = house.spawn("cat later.txt")
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded) and end.outcome.startswith("later"), end
