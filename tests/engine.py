"""A Docker engine of the tests' own, and an image made from this machine's programs: nothing is fetched."""

from __future__ import annotations

import _ctypes
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from tests.agents import BIN
from tests.waiting import until

IMAGE = f"makima-tests:{os.getpid()}"
"""Of this process alone: an engine that ran already may have others, and containers of theirs."""
PROGRAMS = (
    *(
        "bash",
        "sh",
        "cat",
        "chmod",
        "cp",
        "date",
        "dd",
        "dirname",
        "echo",
        "env",
        "find",
        "git",
        "grep",
        "head",
        "id",
        "kill",
    ),
    *("ls", "mkdir", "mv", "nice", "nohup", "printf", "readlink", "rm", "sed", "seq", "setsid", "sleep", "sort"),
    *("tail", "tee", "test", "touch", "tr", "true", "wc"),
)


@dataclass(frozen=True)
class Engine:
    """A running engine."""

    address: str

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.address)

    def containers(self) -> list[str]:
        """The names of the containers of this process's image, running or not."""
        client = self.client()
        try:
            return [
                name
                for found in client.api.containers(all=True, filters={"ancestor": IMAGE})
                for name in found["Names"]
            ]
        finally:
            client.close()


@contextmanager
def engine() -> Iterator[Engine]:
    """An engine with a network of its own, so that it and one that this machine has don't meet. Only root can have one.

    As another user the tests need an engine that runs already, and that this user may speak to.
    """
    if os.geteuid() != 0:
        found = Engine(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
        try:
            found.client().ping()
        except DockerException:
            pytest.skip("only root can start an engine, and none runs that this user may speak to")
        _import(found)
        try:
            yield found
        finally:
            found.client().images.remove(IMAGE, force=True)
        return
    if not shutil.which("dockerd"):
        missing = "no Docker engine is installed: install your system's packages docker.io and iptables"
        assert "CI" not in os.environ, missing
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="makima-engine-"))
    address = f"unix://{folder}/docker.sock"
    roots = ("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid"))
    argv = ("unshare", "--net", "dockerd", "--host", address, *roots)
    log = folder / "log"
    with log.open("wb") as said, subprocess.Popen(argv, stdout=said, stderr=said, start_new_session=True) as process:
        try:
            found = Engine(address)
            until(lambda: _answers(found) or process.poll(), log.read_text, 60)
            assert process.poll() is None, log.read_text()
            _import(found)
            yield found
        finally:
            process.terminate()
            process.wait()
    subprocess.run(["umount", "-l", *map(str, folder.glob("exec/netns/*"))], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _answers(found: Engine) -> bool:
    try:
        return bool(found.client().ping())
    except DockerException:
        return False


def _import(found: Engine) -> None:
    client = found.client()
    client.api.import_image_from_data(_files(), repository=IMAGE.partition(":")[0], tag=IMAGE.partition(":")[2])
    client.close()


def _files() -> bytes:
    """A system of a few programs, with the libraries that they load, as a tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, mode in (("tmp", 0o1777), ("root", 0o700), ("etc", 0o755), ("proc", 0o755), ("usr", 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        for name in ("bin", "sbin", "lib", "lib64"):
            if Path("/", name).is_symlink():
                tar.add(f"/{name}", name, recursive=False)
        seen: set[Path] = set()
        for program in PROGRAMS:
            path = shutil.which(program, path="/usr/bin:/bin")
            assert path is not None, program
            for file in (Path(path), *_libraries(Path(path))):
                _add(tar, file, seen)
        for handed_in in (
            Path(sys.executable),
            Path(_ctypes.__file__),
            BIN / "claude",
        ):  # themselves, but not what of the system they load
            for file in _libraries(handed_in.resolve()):
                _add(tar, file, seen)
    return data.getvalue()


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return [Path(word) for line in listed.splitlines() for word in line.split() if word.startswith("/")]


def _add(tar: tarfile.TarFile, file: Path, seen: set[Path]) -> None:
    """A file at its place, with what it is a link to."""
    place = file.parent.resolve() / file.name
    if place in seen:
        return
    seen.add(place)
    tar.add(place, str(place).lstrip("/"), recursive=False)
    if place.is_symlink():
        _add(tar, place.resolve(), seen)
