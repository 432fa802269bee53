"""Every setting that there is, with its default and what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from shared.config.agents import AgentSettings
from shared.config.embedded_url import embedded_url
from shared.config.sockets import short
from shared.domain.hosts import Network, Preset
from shared.domain.names import StepRefs
from shared.places import gateway_socket

NOT_SETTINGS = frozenset(
    f"MAKIMA_{n}"
    for n in ("API_URL", "TOKEN", "TASK_ID", "DIRECTIVE_ID", "ATTEMPT", "CONFIG", "READY_FD", "LOG_FILE", "FAILPOINTS")
)
"""Variables of the same prefix that are no settings: a task's own, files and signs for the process itself."""

LISTS = frozenset(
    {
        "labels",
        "plan_agents",
        "gateway_names",
        "sandbox_readable",
        "sandbox_writable",
        "shared_caches",
        "leftover_credentials",
        "network_hosts",
        "network_presets",
        "docker_images",
    }
)
"""Settings that a variable of the environment gives as a list with commas."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
SharedCache = Literal["cargo", "go", "gradle", "maven", "npm", "pip", "pnpm", "uv", "yarn"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in force. Times are in seconds."""

    home: Path
    """Where state lies: embedded Postgres, sockets, repositories, worktrees, journal, logs."""
    run: Path | None = None
    """Where the broker's sockets lie; the home's folder `run`, when none is given."""
    host: str = "127.0.0.1"
    """Where the gateway listens."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8420
    """The gateway's port."""
    gateway_names: tuple[str, ...] = ()
    """Names by which others reach the gateway over TCP, besides localhost and `host`; its addresses need none."""
    postgres_url: str | None = None
    """A Postgres of yours, 14 or newer; without one makima runs its own."""
    owner: str = "default"
    """Whom everything of this cluster belongs to."""
    daemons: Count = 1
    """How many daemons `makima up` runs here."""
    daemon_name: str | None = None
    """A daemon's name; its machine's, when none is given."""
    slots: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 4
    """How many tasks a daemon runs at once."""
    labels: tuple[str, ...] = ()
    """What a daemon offers, for steps that ask for it."""
    agent: Name = "shell"
    """The agent of directives that name none. `shell` runs a step's task plan as a script."""
    plan_agents: tuple[str, ...] = ()
    """Agents that plans which agents make may choose for steps, besides the directive's own."""
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] = 2
    """How often a task is tried."""
    max_found_steps: Count = 20
    """How many steps the tasks of a directive may add after each plan, for work that they find."""
    max_running: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Tasks that this owner may run at once, on all its daemons together."""
    sweep_seconds: Positive = 15.0
    """The safety net: so often every service looks for what a lost event left."""
    heartbeat_seconds: Positive = 2.0
    """So often daemons and broker tell each other that they live."""
    lost_seconds: Positive = 10.0
    """A daemon unheard for so long is lost."""
    lease_seconds: Positive = 30.0
    """A task whose daemon has not renewed it for so long runs elsewhere."""
    drop_events: bool = False
    """Publish no event: for tests, which show that all works at the sweep's speed."""
    keep_output_days: Positive = 30.0
    """What tasks printed is forgotten when it is older, once they have ended."""
    keep_events_days: Positive = 365.0
    """The audit log of directives that have ended is forgotten when it is older."""
    retention_seconds: Positive = 600.0
    """So often is looked for what is older."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious messages that are logged."""
    log_mib: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """How large a process's log may grow before it is set aside; the last three are kept beside it."""
    agents: dict[str, AgentSettings] = {}
    """By name, over those that are built in: shell, claude, codex."""
    task_seconds: Positive = 24 * 3600.0
    """One attempt takes no longer in all, its waiting for a person's answers included."""
    stall_seconds: Positive = 600.0
    """An agent silent for so long, with no tool call running, is stopped and resumed once."""
    tool_seconds: Positive = 3600.0
    """So long may one tool call take, or a script."""
    exit_seconds: Positive = 10.0
    """From an agent's result to its exit; then its process tree is ended, and the result counts."""
    git_silent_seconds: Positive = 30.0
    """How long a daemon's git waits for a remote that says nothing."""
    git_command_seconds: Positive = 1800.0
    """How long one fetch or push may take in all."""
    account_git_settings: bool = False
    """Let agents' git follow the whole configuration of the daemon's account: its hooks, signing and aliases too."""
    repository_hooks: bool = False
    """Let hooks that a repository sets up for itself run for agents' commits."""
    populate_submodules: bool = True
    """Give workspaces the submodules whose addresses the base branch names."""
    max_large_files_gib: Positive = 10.0
    """How much new content an attempt may have git-lfs keep."""
    leftover_files: Count = 200
    """How many new files that an agent neither committed nor ignored are committed without asking it."""
    leftover_mib: Count = 20
    """How much such files may take up in all."""
    leftover_credentials: tuple[str, ...] = ()
    """Patterns of files that are committed although they look like credentials: `tests/*.pem`."""
    red_base: Literal["ask", "fix", "continue", "stop", "ignore"] = "ask"
    """What is done when the check fails on the untouched base branch, before anything is planned: a person is asked, a
    first step mends it, it goes on without the check, or the directive stops; `ignore`: it is not looked at."""
    max_check_rounds: Count = 2
    """How often an agent is resumed with the output of a check that failed."""
    output_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 20 << 20
    """Of a task's output the first and the last half of this are kept."""
    agent_memory_mib: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """What one agent with all its processes may hold."""
    agent_cpus: Positive | None = None
    """How many processors one agent with all its processes may keep busy, in a container, or in a control group where
    the machine lets."""
    agent_open_files: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """How many files each process of an agent may have open."""
    agent_file_mib: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How large a file may get that a process of an agent writes; past it the process gets SIGXFSZ."""
    agent_processes: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """How many processes one agent may have at once, in a container, or in a control group where the machine lets; else
    how many the daemon's user may run, beyond which an agent can start no more, and to which root is not held."""
    agent_cpu_seconds: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Processor time that one process of an agent may take; past it the process gets SIGXCPU."""
    agent_address_space_mib: Annotated[int, msgspec.Meta(ge=64)] | None = None
    """What one process of an agent may map, used or not: node and java map gigabytes. `agent_memory_mib` counts use."""
    sandbox: Literal["auto", "bubblewrap", "landlock", "docker", "off"] = "auto"
    """What holds agents, checks and setups: `auto` takes the best that this machine has; one that is named and can't be
    had stops the task."""
    sandbox_readable: tuple[Path, ...] = ()
    """Files and folders that agents may read besides the system, their workspace and their own home."""
    sandbox_writable: tuple[Path, ...] = ()
    """Files and folders that agents may read and write besides."""
    shared_caches: tuple[SharedCache, ...] = ()
    """Caches that a daemon's tasks share, so that not each of them downloads anew: cargo, go, gradle, maven, npm, pip,
    pnpm, uv, yarn. They lie in the daemon's folder; what one task puts there, others use."""
    network: Network = "open"
    """What agents, checks and setups reach: all that this machine does, `hosts` of a list alone, or `none`. The gateway
    is reached in any of them."""
    network_presets: tuple[Preset, ...] = ("anthropic", "openai")
    """With `hosts`: hosts that go together, by the name of whose they are."""
    network_hosts: tuple[str, ...] = ()
    """With `hosts`: more of them: `example.com`, `*.example.com` or `10.0.0.0/8`, each with `:PORT` or else for 80 and
    443. An address of this machine or of a private network is reached only where it is named itself."""
    docker_image: Name = "makima"
    """With the sandbox `docker`: the image of its containers."""
    docker_images: tuple[Name, ...] = ()
    """More images, which a repository's `.makima.toml` may choose among."""
    docker_host: Name = "unix:///var/run/docker.sock"
    """Where the engine listens, on this machine: a container is handed folders of it."""
    docker_network: Name = "bridge"
    """Which of the engine's networks an open network is."""
    max_memory_percent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 95.0
    """A daemon takes no more tasks while more of the machine's memory is in use."""
    min_disk_mib: Count = 256
    """A daemon takes no more tasks while its disk has less room than this."""
    control_groups: bool = True
    """Hold each attempt's processes in a control group, where the machine lets; else they are found by their marks."""
    keep_leftovers_hours: Positive = 24.0
    """What an attempt left behind on its daemon, where removing it failed, is kept for so long."""
    keep_repositories_days: Positive = 30.0
    """A daemon's copy of a repository, and untracked files taken along, are removed when unused for so long."""
    max_repositories_gib: Positive = 50.0
    """What a daemon's copies of repositories may take up; beyond it the longest unused ones are removed."""
    spare_worktrees: Count = 4
    """So many worktrees of large repositories a daemon keeps when their tasks have ended, for others to begin in."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 0
    """How much an agent yields to others on its machine, as nice(1) counts."""

    forges: dict[str, Literal["github", "gitlab", "gitea", "none"]] = {}
    """By host: what it is, where its name does not tell."""
    forge_patience_seconds: Annotated[float, msgspec.Meta(ge=0)] = 300.0
    """How long a delivery asks a forge again that is down or limits the rate."""
    merge_strategy: Literal["merge", "squash"] = "merge"
    """How steps are delivered: by merge commits, or each as one commit."""
    pull_request_draft: bool = False
    """Open pull requests as drafts."""
    pull_request_cost: bool = False
    """Say in pull requests what they cost, in dollars and tokens."""
    pull_request_labels: tuple[str, ...] = ()
    """Labels that a new pull request gets."""
    pull_request_reviewers: tuple[str, ...] = ()
    """Who is asked to review a new pull request."""
    pull_request_watch: bool = True
    """Whether is looked how a pull request stands, until it is merged or closed."""
    pull_request_poll_seconds: Positive = 60.0
    """Until it is looked for the first time; doubled each time nothing changed, up to 15 minutes."""
    remove_step_branches: bool = True
    """Whether steps' branches are removed from the remote once the pull request was merged, or, where there is none,
    once they are delivered."""
    step_refs: StepRefs = "refs/heads"
    """Where on the remote steps' branches lie: `refs/heads`, or `refs/makima`, which no forge lists or checks."""
    max_delivery_fixes: Count = 2
    """How often a step is planned that mends a check which fails on the merged result."""

    def run_folder(self) -> Path:
        """The folder of the broker's sockets. A name that fits any socket's path is `short` of it."""
        return self.run or self.home / "run"

    def socket(self, name: str) -> str:
        """The endpoint of one of the broker's sockets: events-in, events-out, commands, daemons, reports."""
        return f"ipc://{short(self.run_folder()) / name}.sock"

    def gateway_socket(self) -> Path:
        """Where the gateway listens for this account's programs."""
        return gateway_socket(self.run_folder())

    def postgres(self) -> str:
        """The database, good in this process: the one given, else the embedded one of this home."""
        return self.postgres_url or embedded_url(self.home)
