"""Whole tasks on a real daemon: what settings and the repository say of their network and their containers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.messages.commands import CancelTask, SpawnTask
from shared.messages.reports import AnyReport, OutputBatch, TaskFailed, TaskInterrupted, TaskSucceeded
from tests.agents import program
from tests.daemon_harness import DaemonHarness
from tests.engine import IMAGE, Engine, engine
from tests.models.messages import messages_api
from tests.models.responses import responses_api
from tests.models.script import Answer, Conversation, Run, Say
from tests.waiting import until

ROOT = Path(__file__).parents[2]
KEY = "sk-the-real-key-of-the-model"
NEVER_BY_ITSELF = "127.0.0.2"
"""Of this machine as 127.0.0.1 is, but not excepted from proxies."""

Houses = Callable[..., DaemonHarness]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Houses]:
    """Makes a house by settings, with a file of more of them."""
    made: list[DaemonHarness] = []

    def make(config: str = "", **settings: str) -> DaemonHarness:
        (tmp_path / "makima.toml").write_text(config)
        named = {f"MAKIMA_{name.upper()}": value for name, value in settings.items()}
        made.append(DaemonHarness(tmp_path, MAKIMA_CONFIG=str(tmp_path / "makima.toml"), **named))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    with engine() as found:
        yield found


def output(house: DaemonHarness) -> list[str]:
    return [line for report in house.seen if isinstance(report, OutputBatch) for line in report.lines]


def carried_out(house: DaemonHarness, command: SpawnTask) -> AnyReport:
    house.send(command)
    return house.ending(command.task)


def test_a_host_that_the_settings_do_not_name_is_refused_and_said_in_the_tasks_log(house: Houses) -> None:
    there = house(network="hosts", network_hosts="example.com")
    curl = "curl -sS http://evil.example.org/ || true"
    end = carried_out(there, there.spawn(f"{curl}; {curl}; ls /proc/net/dev; wc -l </proc/net/route"))
    assert isinstance(end, TaskSucceeded), end
    assert output(there).count("[network: evil.example.org:80 was refused: no allowed host]") == 1


def test_a_repository_may_tighten_the_network_and_not_widen_it(house: Houses) -> None:
    there = house(network="hosts", network_hosts="example.com")
    there.commit(".makima.toml", 'network = "none"\n')
    end = carried_out(there, there.spawn("env | grep -i proxy || true; grep -c : /proc/net/dev"))
    assert isinstance(end, TaskSucceeded) and output(there) == ["1"]
    there.commit(".makima.toml", 'network = "open"\n')
    end = carried_out(there, there.spawn("echo ran"))
    assert isinstance(end, TaskFailed) and end.permanent
    assert 'asks for network = "open", but this daemon allows only "hosts"' in end.reason and "ran" not in output(there)


def test_a_network_that_nothing_can_hold_stops_the_task_in_words(house: Houses) -> None:
    there = house(network="none", sandbox="off")
    end = carried_out(there, there.spawn("echo ran"))
    assert isinstance(end, TaskFailed) and end.permanent
    assert end.reason.startswith('network = "none" can\'t be held here') and output(there) == []


def test_the_setup_and_the_check_are_held_as_the_agent_is(house: Houses) -> None:
    there = house(network="none")
    there.commit(".makima.toml", 'setup = "grep -c : /proc/net/dev"\ncheck = "grep -c : /proc/net/dev"\n')
    end = carried_out(there, there.spawn("grep -c : /proc/net/dev"))
    assert isinstance(end, TaskSucceeded)
    assert [line for line in output(there) if not line.startswith("[")] == ["1", "1", "1"]


ASKS_THE_GATEWAY = """
import http.client, os, sys, urllib.parse
url = urllib.parse.urlsplit(os.environ["MAKIMA_API_URL"])
connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
connection.request("GET", "/v1/asked")
print(connection.getresponse().read().decode())
"""


@pytest.mark.parametrize(("network", "sandbox"), [("none", "bubblewrap"), ("hosts", "bubblewrap"), ("open", "docker")])
def test_the_gateway_is_reached_whatever_the_network(
    house: Houses, request: pytest.FixtureRequest, network: str, sandbox: str
) -> None:
    more: dict[str, str] = {}
    if sandbox == "docker":
        more = {"docker_host": request.getfixturevalue("running").address, "docker_image": IMAGE}
    with gateway() as address:
        there = house(network=network, sandbox=sandbox, **more)
        script = f"{sys.executable} -c '{ASKS_THE_GATEWAY}'"
        end = carried_out(there, there.spawn(script, environment={"MAKIMA_API_URL": address}))
    assert isinstance(end, TaskSucceeded) and output(there) == ["the gateway: /v1/asked"], (end, output(there))


@contextmanager
def gateway() -> Iterator[str]:
    """Something that answers at the gateway's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"the gateway: {self.path}".encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def looks_for_its_key(conversation: Conversation) -> Answer:
    """An agent that prints what it has, commits, and says that it is done."""
    look = Run("env; cat ~/.claude* ~/.codex/auth.json 2>/dev/null; echo x >x.txt; git add x.txt; git commit -qm x")
    return [[look], [Say("It is done.")]][min(conversation.turn, 1)]


@pytest.mark.parametrize("sandbox", ["bubblewrap", "docker"])
def test_the_real_claude_works_with_a_key_that_it_never_has(
    house: Houses, request: pytest.FixtureRequest, sandbox: str
) -> None:
    more: dict[str, str] = {}
    if sandbox == "docker":
        more = {"docker_host": request.getfixturevalue("running").address, "docker_image": IMAGE}
    with messages_api(looks_for_its_key) as model:
        there = house(
            f"""
[agents.claude]
kind = "claude"
command = ["{program("claude")}"]
proxy_holds_key = true
[agents.claude.environment]
ANTHROPIC_BASE_URL = "{model.url}"
ANTHROPIC_API_KEY = "{KEY}"
CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = "1"
""",
            network="hosts",
            sandbox=sandbox,
            **more,
        )
        end = carried_out(there, there.spawn("Look", agent="claude"))
    assert isinstance(end, TaskSucceeded), (end, output(there))
    assert end.files_changed == ("x.txt",)
    assert {headers.get("x-api-key") for headers in model.headers} == {KEY}
    printed = "\n".join(output(there))
    assert "ANTHROPIC_API_KEY=" in printed and KEY not in printed and "***" not in printed.partition("MAKIMA_TOKEN")[0]


def test_the_real_codex_works_with_a_key_that_it_never_has(house: Houses) -> None:
    with responses_api(looks_for_its_key) as model:
        there = house(
            f"""
[agents.codex]
kind = "codex"
command = ["{program("codex")}"]
model = "gpt-5"
permission_mode = "danger-full-access"
proxy_holds_key = true
[agents.codex.environment]
OPENAI_BASE_URL = "{model.url}/v1"
OPENAI_API_KEY = "{KEY}"
""",
            network="hosts",
        )
        end = carried_out(there, there.spawn("Look", agent="codex"))
    assert isinstance(end, TaskSucceeded), (end, output(there))
    assert end.files_changed == ("x.txt",)
    assert {headers.get("authorization") for headers in model.headers} == {f"Bearer {KEY}"}
    assert KEY not in "\n".join(output(there))


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_a_real_agent_reaches_its_model_through_the_proxy(house: Houses, agent: str) -> None:
    api = messages_api if agent == "claude" else responses_api
    with api(looks_for_its_key, NEVER_BY_ITSELF) as model:
        provider = f'{{name="scripted",base_url="{model.url}/v1",env_key="OPENAI_API_KEY",wire_api="responses"}}'
        there = house(
            f"""
[agents.claude]
kind = "claude"
command = ["{program("claude")}"]
[agents.claude.environment]
ANTHROPIC_BASE_URL = "{model.url}"
ANTHROPIC_API_KEY = "a key of no account"
CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = "1"
[agents.codex]
kind = "codex"
command = ["{program("codex")}"]
model = "gpt-5"
permission_mode = "danger-full-access"
extra_args = ["-c", 'model_provider="scripted"', "-c", 'model_providers.scripted={provider}']
[agents.codex.environment]
OPENAI_API_KEY = "a key of no account"
""",
            network="hosts",
            network_hosts=model.url.removeprefix("http://"),
        )
        end = carried_out(there, there.spawn("Look", agent=agent))
    assert isinstance(end, TaskSucceeded) and end.files_changed == ("x.txt",), (end, output(there))
    assert all("via" in headers for headers in model.headers)


def test_a_task_is_carried_out_in_a_container(house: Houses, running: Engine) -> None:
    there = house(sandbox="docker", docker_host=running.address, docker_image=IMAGE, network="none")
    there.commit(".makima.toml", 'check = "test -e b.txt && test ! -e /usr/bin/perl"\n')
    command = there.spawn(
        "test ! -e /usr/bin/perl; pwd; git log --format=%s; echo b >b.txt; git add b.txt; git commit -qm b"
    )
    end = carried_out(there, command)
    assert isinstance(end, TaskSucceeded), (end, output(there))
    assert end.files_changed == ("b.txt",) and [c.subject for c in end.commits] == ["b"]
    assert running.containers() == []


def test_a_repository_chooses_among_the_images_that_the_settings_name(house: Houses, running: Engine) -> None:
    there = house(sandbox="docker", docker_host=running.address, docker_image="no-such-image", docker_images=IMAGE)
    end = carried_out(there, there.spawn("echo ran"))
    assert isinstance(end, TaskFailed) and end.permanent and "docker pull no-such-image" in end.reason
    there.commit(".makima.toml", f'image = "{IMAGE}"\n')
    assert isinstance(carried_out(there, there.spawn("echo ran")), TaskSucceeded)
    there.commit(".makima.toml", 'image = "one-of-its-own"\n')
    end = carried_out(there, there.spawn("echo ran"))
    assert isinstance(end, TaskFailed) and "this daemon allows only no-such-image, " in end.reason


def test_without_an_engine_the_task_stops_in_words(house: Houses, tmp_path: Path) -> None:
    there = house(sandbox="docker", docker_host=f"unix://{tmp_path}/nobody.sock", docker_image=IMAGE)
    end = carried_out(there, there.spawn("echo ran"))
    assert isinstance(end, TaskFailed) and end.permanent and "no engine answers at unix://" in end.reason


def test_a_cancelled_task_leaves_no_container(house: Houses, running: Engine) -> None:
    there = house(sandbox="docker", docker_host=running.address, docker_image=IMAGE, network="none")
    command = there.spawn("trap '' TERM; echo begun; sleep 600 & setsid sleep 601 & wait; wait")
    there.send(command)
    there.until(lambda: "begun" in output(there))
    there.send(CancelTask(owner="default", task=command.task, attempt=1, reason="enough"))
    assert isinstance(there.ending(command.task), TaskInterrupted)
    assert not running.containers()


def test_no_container_outlives_a_daemon_that_is_killed(house: Houses, running: Engine) -> None:
    there = house(sandbox="docker", docker_host=running.address, docker_image=IMAGE, network="none")
    command = there.spawn("echo begun; sleep 600")
    there.send(command)
    there.until(lambda: "begun" in output(there))
    there.process.send_signal(signal.SIGKILL)
    there.process.wait()
    until(lambda: not running.containers(), running.containers, 30)
    there.start()
    assert isinstance(there.ending(command.task), TaskInterrupted)


def test_what_an_earlier_life_of_a_daemon_left_is_removed_at_its_start(house: Houses, running: Engine) -> None:
    there = house(sandbox="docker", docker_host=running.address, docker_image=IMAGE, network="none")
    command = there.spawn("echo begun; sleep 600")
    there.send(command)
    there.until(lambda: "begun" in output(there))
    for speaks in speaking(there):  # what speaks for the container, which would remove it
        os.kill(int(speaks), signal.SIGSTOP)
    there.process.send_signal(signal.SIGKILL)
    there.process.wait()
    assert running.containers()
    there.start()
    assert isinstance(there.ending(command.task), TaskInterrupted)
    assert not running.containers()


def doctor(tmp_path: Path, **settings: str) -> dict[str, tuple[str, str]]:
    """What doctor finds, and says of it, by name."""
    named = {f"MAKIMA_{name.upper()}": value for name, value in settings.items()}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **named}
    argv = [sys.executable, "-m", "cli", "doctor", "-o", "json"]
    done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    return {found["name"]: (found["verdict"], found["says"]) for found in json.loads(done.stdout)["findings"]}


def test_doctor_says_what_can_not_be_held(tmp_path: Path, running: Engine) -> None:
    found = doctor(tmp_path, network="hosts", network_hosts="example.com")
    assert found["network"] == ("ok", "hosts: agents reach the gateway and those named: anthropic, openai, example.com")
    verdict, says = doctor(tmp_path, network="none", sandbox="off")["network"]
    assert verdict == "bad" and says.startswith('network = "none" can\'t be held here')
    verdict, says = doctor(tmp_path, sandbox="docker", docker_host=f"unix://{tmp_path}/nobody.sock")["sandbox"]
    assert verdict == "bad" and "no engine answers" in says
    verdict, says = doctor(tmp_path, sandbox="docker", docker_host=running.address, docker_image=IMAGE)["sandbox"]
    assert verdict == "ok" and says.startswith("docker: ")


def speaking(house: DaemonHarness) -> list[str]:
    """The processes that speak for containers of a house's daemon."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if b"services.daemon.sandbox.container" in line and str(house.folder).encode() in line:
            found.append(entry.name)
    assert found
    return found
