"""Each command of the guides runs as it stands there, from the built package, for somebody with an empty home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.account import a_planner_and_a_worker, claude_for
from tests.conftest import ROOT
from tests.documents import told
from tests.models.messages import messages_api
from tests.reader import Reader
from tests.sampled import sampled

ELSEWHERE = ROOT / "docs/guides/remote.md"
"""It takes a second account: test_remote.py reads it."""
GUIDES = sorted(
    (ROOT / "README.md", ROOT / "docs/agents.md", *sorted({*(ROOT / "docs/guides").glob("*.md")} - {ELSEWHERE})),
    key=lambda path: path.stem == "uninstall",  # it removes what the others need
)
EACH_RUN = [guide for guide in GUIDES if guide.stem in ("quick-start", "http", "uninstall")]
STANDS_FOR = {
    "/srv/shop.git": "{origin}",
    ":8420": ":{port}",
    "8421": "{other_port}",
    "--directive 7": "--directive 1",
    "task log -f ID": "task log -f 1/1",
    "task log 12/3": "task log 1/1",
    "task tell ID TEXT": "task tell 2/1 'Leave the tests alone'",
    "edit-step 12/3": "edit-step 3/1",
    "retry-step 12/3": "retry-step 4/1",
    "approve 12": "approve Waits",
    "approve ID": "approve Search",
    "goal ID TEXT": "goal 3 'Something else'",
    " ID": " 1",
    "makima run -": "makima run - --detach <goal.md",
}
"""What a reader puts in the place of an example: numbers, titles, paths, ports."""
NOT_RUN = {
    "./justw demo": "test_package.py runs the demo, from the package",
    "./justw test": "it runs this",
    "./justw up": "it installs into the checkout; test_install.py does that",
    "uv tool install /path/to/this/checkout": "uv may be missing; the package is installed here by pip",
    "uv tool install --reinstall /path/to/this/checkout": "as above",
    "uv tool install CHECKOUT": "as above",
    "uv tool uninstall makima": "as above",
    "pipx install /path/to/this/checkout": "pipx may be missing",
    "pipx install CHECKOUT": "as above",
    "systemctl --user enable --now makima": "it needs systemd",
    "loginctl enable-linger": "it needs systemd",
    "userdel makima-postgres": "it would take the user from other clusters of this machine",
    "rm -rf /var/lib/makima": "as above",
    "docker compose build": "it needs a Docker engine; test_containers.py does that where there is one",
    "docker compose up --detach --wait": "as above",
    "docker compose exec gateway makima status": "as above",
    "docker compose exec gateway makima directive create"
    ' --title "Add a page" --repo https://… --plan - --watch < plan.yaml': "as above",
    "docker compose up --detach --scale daemon=3": "as above",
    "git fetch origin refs/makima/NAME": "test_step_branches.py looks for those",
    "makima directive update ID --pr-url URL": "it needs a forge; test_pull_requests.py plays one",
    'makima directive add-step "Write a page" --task-plan "..." --order-index 0': "test_prompt_commands.py does it",
    "makima directive batch-add-steps --json @plan.json": "as above",
    "makima directive remove-step ID": "as above",
    "makima order link ORDER --step STEP": "as above",
    'makima ask "Which database?" --option postgres --option sqlite': "as above",
    "makima answer 12/3 TEXT": "a restart has its agent ask again; test_words.py answers a question",
    "makima directive approve 12": "goals-and-plans.md has one approved",
    "makima directive retry-step 12/3": "test_words.py has a failed step run again",
    "just agent-recordings NAME": "it takes minutes",
    "makima config set link 0.0.0.0:8421": "another cluster may have the port; test_machines.py does all of it",
    "makima daemon invite --name laptop": "as above",
    "makima daemon join LINE": "as above",
    "makima daemon join - < invitation": "as above",
    "makima daemon join build.example.org:8421 --server-key 'KEY'": "as above",
    "makima daemon accept 1da9-eb47-2d43-a9ca --name laptop": "as above",
    "makima daemon revoke laptop": "as above",
    **dict.fromkeys(
        (
            "chmod 600 ~/makima-oidc-secret",
            "makima config set public_url https://makima.example.com",
            "makima config set oidc_client_id makima",
            "makima config set oidc_client_secret_file ~/makima-oidc-secret",
            "makima config set oidc_issuer https://accounts.example.com",
            "makima member add alice@example.com --role operator",
            "makima login https://makima.example.com",
            "makima login https://makima.example.com --owner shop",
            "makima login https://makima.example.com --no-browser",
        ),
        "it needs a provider; test_signing_in.py types it, with one",
    ),
    "makima daemon install": "it writes into the account's home; test_daemon_unit.py does that",
}
"""What can't be run here, each with the reason."""
FOLLOWED = {
    'makima run "A page /about with the team"': "directive ",
    'makima directive create --title "Search" --repo . --goal @goal.md --approve-plan --budget-usd 20'
    " --watch": "approve",
    "makima logs executor --follow": "",
    "makima up --daemons 3": "makima is up",
    "MAKIMA_HOME=~/second MAKIMA_PORT=8421 makima up": "makima is up",
}
"""What goes on until Ctrl-C, and what is seen of it before."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has Claude Code, a cluster, and some work under way."""
    reader = Reader(tmp_path_factory.mktemp("reader"))
    with messages_api(a_planner_and_a_worker) as model:
        reader.environment |= claude_for(reader, model.url)
        reader.begin()
        yield reader
        if reader.runs():
            reader.run("down")


@pytest.mark.parametrize("guide", sampled(GUIDES, EACH_RUN), ids=lambda path: path.stem)
def test_every_command_of_a_guide_runs(reader: Reader, guide: Path) -> None:
    for block in told(guide):
        if commands := [one for one in block if one not in NOT_RUN]:
            read(reader, commands)


def read(reader: Reader, commands: list[str]) -> None:
    """Have the commands of a block typed together, but for those that go on until Ctrl-C."""
    if not commands[0].startswith(("MAKIMA_HOME=", "rm ")) and commands[0].startswith("makima up") == reader.runs():
        reader.run(*(("down",) if reader.runs() else ("up", "--detach")))
    reader.type(meant(reader, [command for command in commands if command not in FOLLOWED]))
    for command in commands:
        if command in FOLLOWED:
            reader.follow(meant(reader, [command]), FOLLOWED[command])


def meant(reader: Reader, commands: list[str]) -> str:
    """The commands with values in the place of what stands for them."""
    values = {"origin": reader.repository, "port": reader.environment["MAKIMA_PORT"], "other_port": reader.other_port}
    script = "\n".join(commands)
    for stands, value in STANDS_FOR.items():
        if not stands.startswith("makima ") or stands in commands:
            script = script.replace(stands, value.format(**values))
    return script


def test_what_is_not_run_and_what_stands_for_something_is_in_a_guide() -> None:
    there = {command for guide in GUIDES for block in told(guide) for command in block}
    assert NOT_RUN.keys() | FOLLOWED.keys() <= there
    assert [stands for stands in STANDS_FOR if not any(stands in command for command in there)] == []
