"""Programs in containers of a real engine: their streams, what they reach, and that none of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.daemon.processes import programs
from services.daemon.processes.limits import ResourceLimits
from services.daemon.sandbox import system
from services.daemon.sandbox.docker import Docker
from services.daemon.sandbox.network import Asked, open_network
from services.daemon.sandbox.sandbox import SandboxMissing
from services.daemon.sandbox.view import View
from tests.engine import IMAGE, Engine, engine
from tests.waiting import until

pytestmark = pytest.mark.anyio
SECONDS = 60.0


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    with engine() as found:
        yield found


@pytest.fixture
def sandbox(running: Engine) -> Docker:
    return Docker(engine=running.address, image=IMAGE, daemon="d1")


@pytest.fixture
def view(tmp_path: Path) -> View:
    folders = {name: tmp_path / "cluster" / name for name in ("workspace", "home", "scratch")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    readable = system.toolchains(os.environ, never=[Path.home()])
    return View(name="t-1", readable=readable, hidden=(tmp_path / "cluster",), **folders)


async def start(sandbox: Docker, view: View, *argv: str, **environment: str) -> programs.Program:
    confined = sandbox.command(argv, environment, view)
    return await programs.start(
        *confined.argv, cwd=view.workspace, env=confined.environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


async def run(sandbox: Docker, view: View, script: str, told: bytes = b"", **environment: str) -> tuple[int, str, str]:
    """A script's exit code, its output and its errors."""
    process = await start(sandbox, view, "bash", "-c", script, **environment)
    out, err = await asyncio.wait_for(process.communicate(told), SECONDS)
    return await process.wait(), out.decode(), err.decode()


def none_left(running: Engine) -> bool:
    return not running.containers()


async def test_its_streams_and_its_exit_code_are_the_programs(sandbox: Docker, view: View) -> None:
    assert await run(sandbox, view, "cat; echo wrong >&2; exit 7", b"told\n") == (7, "told\n", "wrong\n")


async def test_what_goes_through_it_is_unchanged(sandbox: Docker, view: View) -> None:
    data = os.urandom(5 << 20)
    process = await start(sandbox, view, "cat")
    out, _ = await asyncio.wait_for(process.communicate(data), SECONDS)
    assert out == data


async def test_it_can_be_spoken_with(sandbox: Docker, view: View) -> None:
    process = await start(sandbox, view, "bash", "-c", 'while read -r line; do echo "heard $line"; done; echo over')
    assert process.stdin is not None and process.stdout is not None
    for word in (b"one", b"two"):
        process.stdin.write(word + b"\n")
        assert await asyncio.wait_for(process.stdout.readline(), SECONDS) == b"heard " + word + b"\n"
    process.stdin.close()
    assert await asyncio.wait_for(process.stdout.readline(), SECONDS) == b"over\n"
    assert await asyncio.wait_for(process.wait(), SECONDS) == 0


async def test_it_works_in_its_workspace_as_the_daemons_user(sandbox: Docker, view: View) -> None:
    script = "pwd; echo a >a; echo $HOME; echo b >$HOME/b; echo c >/tmp/c; id -u; id -g"
    code, out, err = await run(sandbox, view, script)
    assert (code, out.split()) == (0, [str(view.workspace), str(view.home), str(os.getuid()), str(os.getgid())]), err
    made = [view.workspace / "a", view.home / "b", view.scratch / "c"]
    assert [(path.read_text(), path.stat().st_uid) for path in made] == [(f"{n}\n", os.getuid()) for n in "abc"]


async def test_it_has_no_power_over_the_machine(sandbox: Docker, view: View) -> None:
    _, out, _ = await run(sandbox, view, "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; ls /proc")
    assert out.splitlines()[:3] == ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]
    assert str(os.getpid()) not in out.split()


async def test_what_the_view_does_not_name_is_not_there(sandbox: Docker, view: View, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret")
    (tmp_path / "cluster" / "token").write_text("the token")
    (tmp_path / "cluster" / "borrowed").write_text("borrowed\n")
    wider = replace(view, readable=(*view.readable, tmp_path / "cluster" / "borrowed"))
    script = f"cat {tmp_path}/cluster/borrowed; cat {tmp_path}/secret {tmp_path}/cluster/token; ls {tmp_path}/cluster"
    _, out, _ = await run(sandbox, wider, script)
    assert out.split() == ["borrowed", "borrowed", "home", "workspace"]
    _, out, _ = await run(sandbox, replace(wider, readable=(*wider.readable, tmp_path)), script)
    assert "the token" not in out and out.startswith("borrowed\nthe secret")


async def test_what_may_only_be_read_is_not_written(sandbox: Docker, view: View, tmp_path: Path) -> None:
    (tmp_path / "read").mkdir()
    (tmp_path / "write").mkdir()
    wider = replace(view, readable=(*view.readable, tmp_path / "read"), writable=(tmp_path / "write",))
    await run(sandbox, wider, f"touch {tmp_path}/read/x; touch {tmp_path}/write/x")
    assert not (tmp_path / "read" / "x").exists() and (tmp_path / "write" / "x").exists()


async def test_what_it_leaves_in_tmp_is_the_daemons_to_remove(sandbox: Docker, view: View) -> None:
    await run(sandbox, view, "touch /tmp/x")
    left = [path for path in view.scratch.rglob("*") if path.lstat().st_uid != os.getuid()]
    assert left == []


async def test_no_argument_shows_its_environment(sandbox: Docker, view: View) -> None:
    assert "secret" not in " ".join(sandbox.command(("true",), {"TOKEN": "a secret"}, view).argv)
    assert (await run(sandbox, view, "echo $TOKEN", TOKEN="a secret"))[1] == "a secret\n"


async def test_what_lies_in_the_workspace_is_not_run_outside(sandbox: Docker, view: View) -> None:
    for name in ("docker.py", "services.py", "sitecustomize.py", "json.py"):
        (view.workspace / name).write_text(f"open({str(view.workspace / 'ran')!r}, 'w')")
    assert (await run(sandbox, view, "echo inside", PYTHONPATH=str(view.workspace)))[1] == "inside\n"
    assert not (view.workspace / "ran").exists()


async def test_makimas_own_command_runs_in_it(sandbox: Docker, view: View) -> None:
    code, out, err = await run(sandbox, view, "makima --help")
    assert code == 0 and "directive" in out, err


async def test_a_signal_reaches_the_program(sandbox: Docker, view: View, running: Engine) -> None:
    process = await start(sandbox, view, "bash", "-c", "trap 'echo ended; exit 3' TERM; echo begun; sleep 60 & wait")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), SECONDS) == b"begun\n"
    process.terminate()
    assert await asyncio.wait_for(process.stdout.readline(), SECONDS) == b"ended\n"
    assert await asyncio.wait_for(process.wait(), SECONDS) == 3
    assert none_left(running)


async def test_nothing_is_left_when_a_program_ends_and_leaves_others(
    sandbox: Docker, view: View, running: Engine
) -> None:
    code, out, _ = await run(sandbox, view, "setsid nohup sleep 6543 >/dev/null 2>&1 & echo done")
    assert (code, out) == (0, "done\n") and none_left(running)
    assert not alive("sleep 6543")


async def test_nothing_is_left_when_what_speaks_for_it_is_killed(sandbox: Docker, view: View, running: Engine) -> None:
    process = await start(sandbox, view, "bash", "-c", "echo begun; exec sleep 6544")
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), SECONDS)
    process.kill()
    await process.wait()
    await sandbox.clear(replace(view, name="another"))
    assert alive("sleep 6544")
    await sandbox.clear(view)
    assert none_left(running) and not alive("sleep 6544")


async def test_another_daemons_containers_are_left_alone(sandbox: Docker, view: View, running: Engine) -> None:
    process = await start(sandbox, view, "bash", "-c", "echo begun; exec sleep 6545")
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), SECONDS)
    await replace(sandbox, daemon="d2").sweep(())
    await sandbox.sweep(["t-1"])
    assert alive("sleep 6545")
    await sandbox.sweep([])
    assert await asyncio.wait_for(process.wait(), SECONDS) == 137 and none_left(running)


PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
print(child.stdout.readline().decode(), end="", flush=True)
child.wait()
"""


def test_nothing_is_left_when_the_daemon_is_killed(sandbox: Docker, view: View, running: Engine) -> None:
    confined = sandbox.command(("bash", "-c", "echo begun; exec sleep 6546"), {}, view)
    argv = (sys.executable, "-c", PARENT, *confined.argv)
    with subprocess.Popen(argv, env=dict(confined.environment), stdout=PIPE) as daemon:
        assert daemon.stdout is not None and daemon.stdout.readline() == b"begun\n"
        daemon.send_signal(signal.SIGKILL)
    until(lambda: none_left(running) and not alive("sleep 6546"), running.containers, SECONDS)


async def test_it_is_held_to_its_limits(sandbox: Docker, view: View, running: Engine) -> None:
    limits = ResourceLimits(processes=32, open_files=64, file_mib=1)
    held = replace(sandbox, cpus=0.5, memory_bytes=64 << 20, each=limits)
    _, out, err = await run(
        held, view, "ulimit -n; dd if=/dev/zero of=big bs=1M count=3; for i in $(seq 50); do sleep 5 & done"
    )
    assert out == "64\n" and (view.workspace / "big").stat().st_size == 1 << 20
    assert "Resource temporarily unavailable" in err
    process = await start(held, view, "bash", "-c", "echo begun; read -r line")
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), SECONDS)
    client = running.client()
    (found,) = client.containers.list()
    assert (found.attrs["HostConfig"]["NanoCpus"], found.attrs["HostConfig"]["Memory"]) == (500_000_000, 64 << 20)
    client.close()
    await process.communicate(b"\n")


async def test_that_its_memory_ran_out_is_said(sandbox: Docker, view: View) -> None:
    held = replace(sandbox, memory_bytes=32 << 20)
    code, _, err = await run(held, view, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}")
    assert code != 0 and "more than its 32 MiB of memory" in err


async def test_an_open_network_is_the_engines_and_without_one_there_is_a_loopback_alone(
    sandbox: Docker, view: View
) -> None:
    interfaces = "sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev | sort"
    assert (await run(sandbox, view, interfaces))[1].split() == ["eth0", "lo"]
    assert (await run(sandbox, replace(view, network="none"), interfaces))[1].split() == ["lo"]


FETCH = "import urllib.request as u; print(u.urlopen('http://evil.example.org/', timeout=20).status)"


async def test_with_a_list_of_hosts_it_reaches_the_proxy_alone(sandbox: Docker, view: View, tmp_path: Path) -> None:
    said: list[str] = []
    network = await open_network(Asked(network="hosts", allowed=("example.com",)), tmp_path / "net", said.append)
    try:
        access = network.access
        inside = access.added_to(view)
        process = await start(sandbox, inside, *access.prefix, sys.executable, "-c", FETCH, **access.environment)
        _, err = await asyncio.wait_for(process.communicate(), SECONDS)
        await asyncio.to_thread(until, lambda: said, err.decode, SECONDS)
    finally:
        await network.close()
    assert b"403" in err and said == ["network: evil.example.org:80 was refused: no allowed host"]


async def test_a_program_that_is_not_there_is_said_in_words(sandbox: Docker, view: View, running: Engine) -> None:
    process = await start(sandbox, view, "no-such-program")
    _, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert await process.wait() != 0 and b"no-such-program" in err and b"Traceback" not in err
    assert none_left(running)


def test_an_engine_or_an_image_that_is_not_there_is_said_before_anything_runs(sandbox: Docker, tmp_path: Path) -> None:
    sandbox.check()
    with pytest.raises(SandboxMissing, match="docker pull no-such-image"):
        sandbox.of("no-such-image").check()
    with pytest.raises(SandboxMissing, match="no engine answers at"):
        replace(sandbox, engine=f"unix://{tmp_path}/nobody.sock").check()


def alive(line: str) -> bool:
    """Whether a program with this command line runs, anywhere on this machine."""
    listed = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return line in listed.splitlines()
