"""`python -m services.cluster up|down [--detach] [--daemons N]`"""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import signal
import subprocess
import sys
import tempfile

import msgspec

from services.cluster.service import ClusterFailed, running, up
from shared.config import ConfigError, Settings, load
from shared.service.closing import close_to_others, outlive_full_logs
from shared.service.logs import FILE, configure_logs
from shared.store.embedded import EmbeddedPostgresFailed

STOP_SECONDS = 15.0


INTERRUPTED = 128 + signal.SIGINT
"""The exit code of what Ctrl-C ended."""


def main() -> int:
    """Carry out one verb; its exit code."""
    parser = argparse.ArgumentParser(prog="makima")
    parser.add_argument("verb", choices=("up", "down"))
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("--daemons", type=int)
    arguments = parser.parse_args()
    close_to_others()
    outlive_full_logs()
    configure_logs()
    try:
        settings = load(os.environ)
        configure_logs(settings.log_level, settings.log_mib << 20)
        if arguments.daemons is not None:
            settings = msgspec.structs.replace(settings, daemons=arguments.daemons)
        if arguments.verb == "up":
            return _detach(settings) if arguments.detach else _up(settings)
        return _down(settings)
    except (ClusterFailed, ConfigError, EmbeddedPostgresFailed) as error:
        print(f"makima: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _up(settings: Settings) -> int:
    asyncio.run(up(settings))
    return 0


def _detach(settings: Settings) -> int:
    """Start the cluster in a session of its own, and wait for its ready line or its error."""
    argv = [sys.executable, "-P", "-m", "services.cluster", "up", "--daemons", str(settings.daemons)]
    with tempfile.TemporaryFile("w+") as early:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=early,  # a file outlives us, a pipe would break under the cluster's next word
            start_new_session=True,
            text=True,
            env={**os.environ, FILE: str(settings.home / "logs" / "cluster.log")},
        )
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
        except KeyboardInterrupt:
            print("makima: the cluster goes on starting by itself: `makima status` tells of it", file=sys.stderr)
            raise
        if line:
            print(line, end="")
            return 0
        code = child.wait()
        early.seek(0)
        print(early.read(), end="", file=sys.stderr)
        return code


def _down(settings: Settings) -> int:
    state = running(settings)
    if state is None:
        print(f"no cluster runs on {settings.home}")
        return 0
    try:
        supervisor = os.pidfd_open(state.pid)
        signal.pidfd_send_signal(supervisor, signal.SIGTERM)
    except ProcessLookupError:
        print("makima is down")
        return 0
    ended, _, _ = select.select((supervisor,), (), (), STOP_SECONDS)  # it ends last, when all that it started is gone
    if not ended:
        print(f"makima: process {state.pid} has not ended in {STOP_SECONDS:.0f} s", file=sys.stderr)
        return 1
    print("makima is down")
    return 0


sys.exit(main())
