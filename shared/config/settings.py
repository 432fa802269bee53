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
    for n in (
        "API_URL",
        "TOKEN",
        "CONTEXT",
        "TASK_ID",
        "DIRECTIVE_ID",
        "ATTEMPT",
        "CONFIG",
        "READY_FD",
        "LOG_FILE",
        "FAILPOINTS",
    )
)
"""Variables of the same prefix that are no settings: a task's own, files and signs for the process itself."""

LISTS = frozenset(
    {
        "labels",
        "plan_agents",
        "gateway_names",
        "trusted_proxies",
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
    """The folder that holds everything: embedded Postgres, sockets, repositories, worktrees, journals and logs."""
    run: Path | None = None
    """The folder for sockets; `run` in the home by default."""
    host: str = "127.0.0.1"
    """The address that the gateway listens on."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8420
    """The port that the gateway listens on."""
    link: str | None = None
    """`HOST:PORT` that the broker listens on for daemons on other machines, such as `0.0.0.0:8421`; by default only
    daemons of this machine can connect."""
    link_address: str | None = None
    """`HOST:PORT` by which other machines reach `link`, where that is another: told in invitations."""
    link_asking: bool = False
    """Let daemons ask over the link, without an invitation, to be accepted by a person."""
    gateway_names: tuple[str, ...] = ()
    """Host names that requests over TCP may use for the gateway, besides localhost and `host`; IP addresses always
    may."""
    tls_certificate: Path | None = None
    """The gateway's certificate, with those between it and its authority (PEM): by TCP it then speaks TLS alone. It and
    its key are read again when they change."""
    tls_key: Path | None = None
    """The private key of `tls_certificate` (PEM), without a passphrase."""
    plain_http: bool = False
    """Let the gateway speak plain HTTP on an address that other machines reach: tokens can be read on the way. Only for
    a network that nobody listens on, such as that between containers, or to a proxy that ends TLS."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies in front of the gateway, such as `10.0.0.7` or `10.1.0.0/16`: only they are
    believed what X-Forwarded-For, -Proto and -Host say."""
    public_url: str | None = None
    """The address by which people's browsers reach the gateway, such as `https://makima.example.com`."""
    oidc_issuer: str | None = None
    """The issuer URL of the OpenID provider that people sign in at, such as `https://accounts.example.com`; needs
    `oidc_client_id` and `public_url`."""
    oidc_client_id: str | None = None
    """What the OpenID provider calls this cluster."""
    oidc_client_secret_file: Path | None = None
    """A file (mode 0600) that holds the secret by which the OpenID provider knows this cluster; none for a public
    client."""
    oidc_claim: Literal["email", "preferred_username"] = "email"
    """What of a person at the OpenID provider is their name here: `email`, which has to be verified, or
    `preferred_username`."""
    sign_in_days: Annotated[float, msgspec.Meta(gt=0, le=3650)] = 30.0
    """How long a person who signed in by `makima login` stays signed in."""
    postgres_url: str | None = None
    """The URL of your own Postgres, 14 or newer, with a UTF-8 database; by default makima runs one itself."""
    owner: str = "default"
    """The name of the owner of everything in this cluster."""
    daemons: Count = 1
    """How many daemons `makima up` starts on this machine."""
    daemon_name: str | None = None
    """The daemon's name; the host name by default."""
    slots: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 4
    """How many tasks a daemon runs at the same time."""
    labels: tuple[str, ...] = ()
    """Labels that a daemon offers to steps that require them."""
    agent: Name = "shell"
    """The agent for directives that name none. `shell` runs each step's task plan as a script."""
    plan_agents: tuple[str, ...] = ()
    """Agents that plans which agents make may choose for steps, besides the directive's own."""
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] = 2
    """How many times a task is tried before it has failed."""
    max_found_steps: Count = 20
    """How many steps a directive's tasks may add after each planning, for work that they come across."""
    max_running: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How many tasks the owner may run at the same time, on all daemons together."""
    sweep_seconds: Positive = 15.0
    """How often each service looks for work whose event was lost."""
    heartbeat_seconds: Positive = 2.0
    """How often daemons send a heartbeat."""
    lost_seconds: Positive = 10.0
    """A daemon that has sent nothing for this long counts as lost."""
    lease_seconds: Positive = 30.0
    """A task whose daemon has not renewed its lease for this long is run again elsewhere."""
    drop_events: bool = False
    """Publish no events, so that everything happens at the speed of the sweep; for tests."""
    keep_output_days: Positive = 30.0
    """How long the output of a task is kept after it was printed, once the task has ended."""
    keep_events_days: Positive = 365.0
    """How long audit events are kept once their directive has ended."""
    retention_seconds: Positive = 600.0
    """How often old output and events are purged."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious messages that are logged."""
    log_mib: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """How large a process's log may grow before it is set aside; the last three are kept beside it."""
    agents: dict[str, AgentSettings] = {}
    """Agents by name, in tables `[agents.NAME]`; they add to or change the built-in shell, claude and codex."""
    task_seconds: Positive = 24 * 3600.0
    """The longest that one attempt may take, including the time it waits for answers."""
    stall_seconds: Positive = 600.0
    """An agent that prints nothing for this long while no tool call runs is stopped, and resumed once."""
    tool_seconds: Positive = 3600.0
    """The longest that one tool call, or a script, may take."""
    exit_seconds: Positive = 10.0
    """How long an agent may take to exit after giving its result; then its processes are killed, and the result
    counts."""
    git_silent_seconds: Positive = 30.0
    """How long a daemon's git waits for a remote that sends nothing."""
    git_command_seconds: Positive = 1800.0
    """The longest that one fetch or push may take."""
    account_git_settings: bool = False
    """Let agents' git use the whole git configuration of the daemon's account, including hooks, signing and aliases."""
    repository_hooks: bool = False
    """Run the hooks that a repository sets up for itself on agents' commits."""
    populate_submodules: bool = True
    """Check out the submodules that the base branch names."""
    max_large_files_gib: Positive = 10.0
    """The most new git-lfs content that an attempt may add."""
    leftover_files: Count = 200
    """How many new files that an agent left uncommitted and not ignored are committed without asking it."""
    leftover_mib: Count = 20
    """The total size of such files."""
    leftover_credentials: tuple[str, ...] = ()
    """Patterns of files to commit although they look like credentials, such as `tests/*.pem`."""
    red_base: Literal["ask", "fix", "continue", "stop", "ignore"] = "ask"
    """What to do when the check already fails on the untouched base branch: `ask` a person, `fix` it in a first step,
    `continue` without the check, `stop` the directive, or `ignore` the base and not run the check on it."""
    max_check_rounds: Count = 2
    """How many times an agent is resumed with the output of a failed check."""
    output_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 20 << 20
    """How much of a task's output is kept: the first half and the last half of it."""
    agent_memory_mib: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """The most memory that an agent and all its processes may use."""
    agent_cpus: Positive | None = None
    """How many processors an agent and all its processes may keep busy. Needs a container, or a machine that allows
    control groups."""
    agent_open_files: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """How many files each process of an agent may have open."""
    agent_file_mib: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The largest file that a process of an agent may write; beyond it the process gets SIGXFSZ."""
    agent_processes: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """How many processes an agent may have at once, in a container or where the machine allows control groups.
    Elsewhere it is how many processes the daemon's user may have in all, a limit that does not hold root."""
    agent_cpu_seconds: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The processor time that one process of an agent may use; beyond it the process gets SIGXCPU."""
    agent_address_space_mib: Annotated[int, msgspec.Meta(ge=64)] | None = None
    """The address space that one process of an agent may map, used or not; node and java map gigabytes. To limit actual
    use, set `agent_memory_mib`."""
    sandbox: Literal["auto", "bubblewrap", "landlock", "docker", "off"] = "auto"
    """What confines agents, checks and setups. `auto` takes the strongest sandbox that this machine supports; a
    task fails when a sandbox named here is not available."""
    sandbox_readable: tuple[Path, ...] = ()
    """Files and folders that agents may read besides the system, their workspace and their own home."""
    sandbox_writable: tuple[Path, ...] = ()
    """Files and folders that agents may also read and write."""
    shared_caches: tuple[SharedCache, ...] = ()
    """Package caches that the tasks of a daemon share, so that each package is downloaded once: cargo, go, gradle,
    maven, npm, pip, pnpm, uv, yarn. They lie in the daemon's folder, and any task can change what the others
    use."""
    network: Network = "open"
    """What agents, checks and setups can reach: `open` is everything that this machine can, `hosts` only the hosts
    listed, `none` nothing. The gateway can always be reached."""
    network_presets: tuple[Preset, ...] = ("anthropic", "openai")
    """With `network = "hosts"`: groups of hosts to allow, by provider."""
    network_hosts: tuple[str, ...] = ()
    """With `network = "hosts"`: more hosts to allow, such as `example.com`, `*.example.com` or `10.0.0.0/8`, each with
    `:PORT` or on ports 80 and 443. Addresses of this machine or of a private network must be listed themselves."""
    docker_image: Name = "makima"
    """With `sandbox = "docker"`: the image to run agents in."""
    docker_images: tuple[Name, ...] = ()
    """Other images that a repository's `.makima.toml` may choose."""
    docker_host: Name = "unix:///var/run/docker.sock"
    """Where the Docker engine listens. It must be on this machine, since containers mount its folders."""
    docker_network: Name = "bridge"
    """The Docker network that containers join when `network` is `open`."""
    max_memory_percent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 95.0
    """A daemon takes no more tasks while more than this share of the machine's memory is in use."""
    min_disk_mib: Count = 256
    """A daemon takes no more tasks while its disk has less free space than this."""
    control_groups: bool = True
    """Keep the processes of each attempt in a control group where the machine allows it."""
    keep_leftovers_hours: Positive = 24.0
    """How long files of an ended attempt are kept when they could not be removed at once."""
    keep_repositories_days: Positive = 30.0
    """How long a daemon keeps its copy of a repository that is no longer used."""
    max_repositories_gib: Positive = 50.0
    """How much space a daemon's copies of repositories may take; beyond it the least recently used are removed."""
    spare_worktrees: Count = 4
    """How many worktrees of large repositories a daemon keeps for the next tasks to start in."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 0
    """The niceness of agents' processes, from 0 to 19: a higher value leaves more of the machine to others."""

    forges: dict[str, Literal["github", "gitlab", "gitea", "none"]] = {}
    """The kind of forge by host, for hosts whose name does not tell."""
    forge_patience_seconds: Annotated[float, msgspec.Meta(ge=0)] = 300.0
    """How long a delivery retries when a forge is down or limits the rate."""
    merge_strategy: Literal["merge", "squash"] = "merge"
    """How each step is delivered: with its commits and a merge commit, or squashed into one commit."""
    pull_request_draft: bool = False
    """Open pull requests as drafts."""
    pull_request_cost: bool = False
    """State in the pull request what it cost, in dollars and tokens."""
    pull_request_labels: tuple[str, ...] = ()
    """Labels for new pull requests."""
    pull_request_reviewers: tuple[str, ...] = ()
    """People to ask for a review of new pull requests."""
    pull_request_watch: bool = True
    """Whether to watch a pull request until it is merged or closed."""
    pull_request_poll_seconds: Positive = 60.0
    """How long to wait before first looking at a pull request; doubled, up to 15 minutes, while nothing changes."""
    remove_step_branches: bool = True
    """Whether to remove the branches of steps from the remote once the base branch holds them."""
    step_refs: StepRefs = "refs/heads"
    """Where the branches of steps are pushed: `refs/heads`, or `refs/makima`, which forges neither list nor check."""
    max_delivery_fixes: Count = 2
    """How many steps may be added to fix a check that fails on the merged result."""

    def address(self) -> str:
        """Where the gateway is for browsers and other machines."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_certificate else 'http'}://{host}:{self.port}"

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
