"""What a program in a sandbox sees and may do, by running real ones."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from services.daemon.sandbox import bubblewrap, system
from services.daemon.sandbox.choosing import chosen
from services.daemon.sandbox.sandbox import Sandbox
from services.daemon.sandbox.view import View
from shared.config import load


@pytest.fixture(params=["bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    return chosen(load({"MAKIMA_HOME": str(tmp_path), "MAKIMA_SANDBOX": request.param}))


@pytest.fixture
def view(tmp_path: Path) -> View:
    folders = {name: tmp_path / "cluster" / name for name in ("workspace", "home", "scratch")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    readable = system.toolchains(os.environ, never=[Path.home()])
    return View(name="t-1", readable=readable, hidden=(tmp_path / "cluster",), **folders)


def run(sandbox: Sandbox, view: View, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], **environment}
    confined = sandbox.command(("bash", "-c", script), given, view)
    return subprocess.run(
        confined.argv, env=dict(confined.environment), cwd=view.workspace, capture_output=True, text=True, check=False
    )


def test_it_works_in_its_workspace_with_a_home_and_a_folder_for_temporary_files(sandbox: Sandbox, view: View) -> None:
    done = run(
        sandbox, view, "pwd; echo a >a; echo $HOME; echo b >$HOME/b; mktemp -d >/dev/null && python3 -c 'print(1)'"
    )
    assert done.stdout.splitlines() == [str(view.workspace), str(view.home), "1"], done.stderr
    assert (view.workspace / "a").read_text() == "a\n" and (view.home / "b").read_text() == "b\n"


def test_makimas_own_command_runs_there(sandbox: Sandbox, view: View) -> None:
    done = run(sandbox, view, "makima --help")
    assert done.returncode == 0 and "directive" in done.stdout, done.stderr


def test_what_the_view_does_not_name_is_not_there(sandbox: Sandbox, view: View, tmp_path: Path) -> None:
    for secret in (tmp_path / "secret", tmp_path / "cluster" / "token"):
        secret.write_text("the secret")
    done = run(sandbox, view, f"cat {tmp_path}/secret {tmp_path}/cluster/token ~/../token; cat /etc/shadow")
    assert done.returncode != 0 and done.stdout == ""


def test_what_is_hidden_in_a_folder_that_may_be_read_is_not_seen(sandbox: Sandbox, view: View, tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("seen")
    (tmp_path / "cluster" / "token").write_text("the secret")
    borrowed = tmp_path / "cluster" / "borrowed"
    borrowed.write_text("borrowed")
    wider = replace(view, readable=(*view.readable, tmp_path, borrowed))
    done = run(sandbox, wider, f"cat {tmp_path}/beside {borrowed}; cat {tmp_path}/cluster/token")
    assert done.stdout == "seenborrowed" and done.returncode != 0


def test_what_is_hidden_in_a_folder_that_may_be_written_is_not_seen(
    sandbox: Sandbox, view: View, tmp_path: Path
) -> None:
    (tmp_path / "cluster" / "token").write_text("the secret")
    (tmp_path / "beside").mkdir()
    wider = replace(view, writable=(tmp_path,))
    done = run(sandbox, wider, f"echo x >{tmp_path}/beside/x; cat {tmp_path}/cluster/token")
    assert (tmp_path / "beside" / "x").read_text() == "x\n" and done.stdout == ""


def test_what_may_only_be_read_is_not_written(sandbox: Sandbox, view: View, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    only_read = run(
        sandbox, replace(view, readable=(*view.readable, tmp_path / "shared")), f"echo x >{tmp_path}/shared/x"
    )
    assert only_read.returncode != 0 and not (tmp_path / "shared" / "x").exists()
    run(sandbox, replace(view, writable=(tmp_path / "shared",)), f"echo x >{tmp_path}/shared/x")
    assert (tmp_path / "shared" / "x").read_text() == "x\n"


def test_without_a_network_it_reaches_unix_sockets_alone(sandbox: Sandbox, view: View, tmp_path: Path) -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "gateway.sock"))
        tcp.listen()
        unix.listen()
        reach = (
            "import socket, sys\n"
            "def tries(name, *kind):\n"
            "    try:\n"
            "        with socket.socket(*kind) as s: s.connect(name); s.send(b'x'); print('reached')\n"
            "    except OSError: print('refused')\n"
            f"tries(('127.0.0.1', {tcp.getsockname()[1]}))\n"
            f"tries('{tmp_path}/gateway.sock', socket.AF_UNIX)\n"
            f"tries(('127.0.0.1', {udp.getsockname()[1]}), socket.AF_INET, socket.SOCK_DGRAM)\n"
        )
        cut_off = replace(view, network="none", sockets=(tmp_path / "gateway.sock",))
        assert run(sandbox, view, f"python3 - <<'E'\n{reach}E").stdout.splitlines()[0] == "reached"
        told = run(sandbox, cut_off, f"python3 - <<'E'\n{reach}E").stdout.splitlines()
        assert told[:2] == ["refused", "reached"]
        udp.settimeout(5)
        assert udp.recv(10) == b"x", "of the first run"
        udp.setblocking(False)
        with pytest.raises(BlockingIOError):
            udp.recv(10)


def test_a_process_outside_is_neither_signalled_nor_looked_into(sandbox: Sandbox, view: View) -> None:
    with subprocess.Popen(["sleep", "300"], env={"SECRET": "the secret"}) as outside:
        try:
            files = " ".join(f"/proc/{outside.pid}/{name}" for name in ("environ", "maps", "mem", "root/etc/hosts"))
            done = run(sandbox, view, f"kill -9 {outside.pid}; cat {files}; readlink /proc/{outside.pid}/exe")
            assert done.returncode != 0 and done.stdout == "" and outside.poll() is None
        finally:
            outside.kill()


def test_its_exit_code_is_the_programs(sandbox: Sandbox, view: View) -> None:
    assert run(sandbox, view, "exit 7").returncode == 7


def test_no_argument_shows_its_environment(sandbox: Sandbox, view: View) -> None:
    assert "secret" not in " ".join(sandbox.command(("true",), {"TOKEN": "a secret"}, view).argv)
    assert run(sandbox, view, "echo $TOKEN", TOKEN="a secret").stdout == "a secret\n"


def test_the_bubblewrap_of_pypi_serves_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert isinstance(bubblewrap.find(), bubblewrap.Bubblewrap)
