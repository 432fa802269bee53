"""Folders of the cluster's machine, as another machine knows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.daemon.git.lfs import Home, NotServed
from services.daemon.workspaces.stand_in import is_folder
from services.daemon.workspaces.submodules import resolved
from shared.domain.repositories import folder_of, is_over_link, over_link
from tests.shell import git

HERE = over_link(Path("/srv/a b"), "1a2b-3c4d")


def test_such_an_address_is_no_folder_of_this_machine_and_has_a_stand_in_as_one() -> None:
    assert is_over_link(HERE) and folder_of(HERE) is None and is_folder(HERE)
    assert over_link(Path("/srv/a b"), "5e6f-7081") != HERE, "the same path of another cluster's is another one"


@pytest.mark.parametrize("url", ["../lib", "/srv/lib", "file:///srv/lib", "makima://1a2b-3c4d/srv/lib"])
def test_a_submodule_of_it_is_never_a_folder_of_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.daemon.workspaces.submodules.account", _AllowsFiles)
    assert resolved("/srv/a", "/srv/lib") == "/srv/lib"
    assert resolved(HERE, url) == ""


class _AllowsFiles:
    def last(self, _key: str) -> str:
        return "always"


async def test_its_large_files_are_refused_unless_they_lie_somewhere_else(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "-b", "main")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "none")
    with pytest.raises(NotServed, match="aren't served to other machines"):
        await Home(tmp_path, HERE, "refs/heads/main").places()
    (tmp_path / ".lfsconfig").write_text("[lfs]\n\turl = https://lfs.example.org/a\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "elsewhere")
    assert await Home(tmp_path, HERE, "refs/heads/main").places() == {"lfs.url": "https://lfs.example.org/a"}
