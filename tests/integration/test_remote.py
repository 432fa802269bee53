"""A cluster whose gateway speaks TLS, used from another account's home with an empty environment, by a context."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.conftest import ROOT, Cluster
from tests.documents import told as told_by
from tests.postgres import home as made_home

STEPS = [{"name": "Write", "task_plan": "echo hello >hello.txt && git add . && git commit -qm hello"}]


class Laptop:
    """Another machine, as far as HOME and the environment make one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    def run(self, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "cli", *words]
        environment, folder = self.environment, self.folder
        return subprocess.run(
            argv, env=environment, cwd=folder, input=said, capture_output=True, text=True, timeout=120
        )

    def makima(self, *words: str, code: int = 0) -> str:
        done = self.run(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.issue("127.0.0.1", "localhost")
    return made


@pytest.fixture(scope="module")
def cluster(authority: Authority) -> Iterator[Cluster]:
    files = {"tls_certificate": str(authority.folder / "server.pem"), "tls_key": str(authority.folder / "server.key")}
    with made_home() as folder:
        running = Cluster(folder, **files)
        running.makima("up", "--detach")
        yield running
        running.makima("down")


@pytest.fixture(scope="module")
def laptop(cluster: Cluster, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """One that is logged in."""
    laptop = Laptop(tmp_path_factory.mktemp("laptop"))
    address = f"https://localhost:{cluster.environment['MAKIMA_PORT']}"
    token = (cluster.home / "token").read_text()
    done = laptop.run("login", address, "--ca", str(authority.certificate), "--name", "build", said=token)
    assert done.returncode == 0, done.stderr
    assert "context build" in done.stdout and token not in done.stdout
    return laptop


def test_the_cluster_says_that_it_is_at_https(cluster: Cluster) -> None:
    assert cluster.state()["address"] == f"https://127.0.0.1:{cluster.environment['MAKIMA_PORT']}"


def test_a_directive_is_made_watched_and_delivered_from_there(laptop: Laptop, cluster: Cluster, origin: Path) -> None:
    (laptop.folder / "plan.json").write_text(json.dumps(STEPS))
    url = f"file://{origin}"
    made = laptop.makima(
        "directive", "create", "--title", "Say hello", "--repo", url, "--plan", "plan.json", "--start", "-o", "json"
    )
    directive = str(json.loads(made)["number"])
    assert "step Write completed" in laptop.makima("watch", directive, "--timeout", "60")
    for words in (
        ["list"], ["show", directive], ["why", directive], ["inbox"], ["status"], ["task", "list"], ["daemon", "list"],
        ["directive", "log", directive], ["directive", "graph", directive],
        ["task", "log", f"{directive}/1"], ["task", "show", f"{directive}/1"], ["questions"], ["order", "list"],
        ["order", "add", "Fix the typo"], ["directive", "export", directive], ["daemon", "keys"], [],
    ):  # fmt: skip
        said = laptop.makima(*words)
        assert "no cluster runs" not in said, words
    assert json.loads(laptop.makima("list", "-o", "json")) == json.loads(cluster.makima("list", "-o", "json"))


def test_a_folder_of_the_laptop_is_refused_with_what_to_do(laptop: Laptop, origin: Path) -> None:
    # by its address this gateway is on loopback; a name of another machine is what tells
    kept = laptop.folder / ".config" / "makima" / "contexts.json"
    before = kept.read_text()
    kept.write_text(before.replace("https://localhost", "https://build.example.org"))
    try:
        said = laptop.makima("run", "Say hello", "--repo", str(origin), "--agent", "shell", code=1)
        assert "is a folder of this machine" in said and "--repo URL" in said and said.count("\n") == 1
        said = laptop.makima("directive", "create", "--title", "x", "--repo", str(origin), code=1)
        assert "is a folder of this machine" in said
    finally:
        kept.write_text(before)


def test_of_this_machine_there_is_still_local(laptop: Laptop) -> None:
    assert "no cluster runs on" in laptop.makima("--context", "local", "list", code=1)
    assert "on the cluster's own machine" in laptop.makima("up", "--detach", code=1)
    laptop.makima("context", "use", "local")
    assert "no cluster runs on" in laptop.makima("list", code=1)
    laptop.makima("context", "use", "build")
    assert laptop.makima("list") is not None


def test_a_renewed_certificate_goes_unnoticed(laptop: Laptop, authority: Authority) -> None:
    authority.issue("127.0.0.1", "localhost")
    laptop.makima("list")


def test_a_token_that_counts_no_more_is_said_with_the_fix(laptop: Laptop) -> None:
    token = laptop.folder / ".config" / "makima" / "tokens" / "build"
    kept = token.read_text()
    token.write_text("mkt_" + "0" * 48)
    said = laptop.makima("list", code=1)
    token.write_text(kept)
    assert "makima login https://localhost:" in said and "0000" not in said.replace("localhost:", "")


NOT_RUN = {
    "makima config set tls_certificate /etc/makima/server.pem": "it is set here before the cluster starts",
    "makima config set tls_key /etc/makima/server.key": "as above",
    "makima config set gateway_names '[\"build.example.org\"]'": "the name is localhost here",
    "makima config set host 0.0.0.0": "other machines need not reach a test",
    "makima down": "others go on here",
    "makima up --detach": "as above",
    "ssh -N -L 8420:127.0.0.1:8420 build.example.org &": "it needs another machine",
    "makima login http://127.0.0.1:8420 --name tunnel --token-file token": "as above",
}
"""What the guide says that isn't typed here, each with the reason."""


def test_the_guide_is_what_one_types(cluster: Cluster, authority: Authority, tmp_path: Path) -> None:
    reader = Laptop(tmp_path)
    (tmp_path / "token").write_text((cluster.home / "token").read_text())
    (tmp_path / "authority.pem").write_bytes(authority.certificate.read_bytes())
    (tmp_path / "makima").write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    (tmp_path / "makima").chmod(0o755)
    environment = {**reader.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment["SSL_CERT_FILE"] = str(authority.certificate)  # as though the system trusted it
    told = [command for block in told_by(ROOT / "docs/guides/remote.md") for command in block]
    assert set(NOT_RUN) <= set(told)
    for command in (one for one in told if one not in NOT_RUN):
        meant = command.replace("8420", cluster.environment["MAKIMA_PORT"]).replace("build.example.org", "localhost")
        done = subprocess.run(["bash", "-c", meant], env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_no_token_is_in_any_log(laptop: Laptop, cluster: Cluster) -> None:
    laptop.makima("list")
    token = (cluster.home / "token").read_text().strip()
    logs = list((cluster.home / "logs").glob("*.log"))
    assert logs and not [log.name for log in logs if token in log.read_text(errors="replace")]
