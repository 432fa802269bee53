"""`just reference`: docs/reference/cli.md from the parsers, docs/reference/settings.md from their declaration."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

from cli.helping import EXIT_CODES, names
from cli.main import COMMANDS
from cli.parsing import Parser
from services.gateway.feed.live import Live
from services.gateway.metrics import GAUGES, REGISTRY, USED, WHOSE, Scraped
from shared.config import settings as declared
from shared.config.settings import Settings
from shared.metrics import COUNTERS, TIMINGS

DOCS = Path(__file__).parents[1] / "docs" / "reference"


_ABOUT = """# The command line

Written by `just reference` from the parsers. Errors are one line on standard error, with what fixes them.
Inside a task the directive is known: `--directive` may be left out. `makima completions bash|zsh|fish` prints
what completes all of it, live numbers and names too.

## How things are called

{names}

## Exit codes

| code | is |
|---|---|
{exit_codes}

## Owners

A person's token is for one owner. The cluster's administrator, whose token is in its home, acts in any: every
command takes `--owner NAME`.

## JSON

`-o json` prints what the gateway answers, in the shapes of its description (`/schema/openapi.json`): of `show`
and of what changes a directive DirectiveShown, of `list` lists of DirectiveListed, TaskListed, OrderShown,
DaemonShown, OwnerShown, MemberShown, TokenShown, of `why` WhyShown, of `inbox` InboxItem, of `directive log`
EventShown, of `task log` OutputBatch.
What follows prints an object a line: `directive watch`, `create --watch` and `run` first `watch.began` with the
directive, then each event as EventShown, and at last `watch.ended` with `exit_code` and the directive;
`task log -f` each OutputBatch; `logs` each entry with the `process` that wrote it."""


def main() -> int:
    """Write both; the exit code."""
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(DOCS / name)
    return 0


def pages() -> dict[str, str]:
    """Each generated page by its file name."""
    written = {"cli.md": _commands(), "settings.md": _settings(), "metrics.md": _metrics()}
    return {name: "\n".join(lines) + "\n" for name, lines in written.items()}


def _commands() -> Iterator[str]:
    yield from _ABOUT.format(names=_list(names()), exit_codes=_table(EXIT_CODES)).splitlines()
    for name, (declared_by, says) in COMMANDS.items():
        module, _, function = declared_by.partition(":")
        parser = Parser(prog=f"makima {name}", description=says)
        getattr(importlib.import_module(module), function)(parser)
        yield from _command(parser, says, "##")


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"| {code} | {says} |" for code, says in rows)


def _command(parser: argparse.ArgumentParser, says: str, level: str) -> Iterator[str]:
    verbs = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    yield ""
    if verbs:
        yield f"{level} {parser.prog}"
        yield ""
        yield f"{says[0].upper()}{says[1:]}."
        for verb in verbs:
            helped = {c.dest: c.help or "" for c in verb._choices_actions}
            for name, below in verb.choices.items():
                yield from _command(below, helped.get(name, ""), level + "#")
        return
    actions = [a for a in parser._actions if a.dest not in ("help", "output", "owner")]
    words = [_argument(a) if not a.option_strings else _option(a) for a in actions]
    yield f"{level} `{' '.join([parser.prog, *words])}`"
    yield ""
    yield f"{says[0].upper()}{says[1:]}."
    told = [a for a in actions if a.help]
    if told:
        yield ""
        yield from (f"- `{_flags(a) if a.option_strings else _argument(a)}`: {a.help}" for a in told)
    if examples := parser.get_default("examples"):
        yield ""
        yield from (f"    {example}" for example in examples)


def _argument(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return f"[{name}]" if action.nargs == "?" else name


def _option(action: argparse.Action) -> str:
    flag = _flags(action)
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        text = flag
    elif action.choices:
        text = f"{flag} {'|'.join(map(str, action.choices))}"
    else:
        text = f"{flag} {action.metavar or action.dest.upper()}"
    return text if action.required else f"[{text}]"


def _flags(action: argparse.Action) -> str:
    """An option as it is written: the one that switches on first, and beside it the one that switches off."""
    if isinstance(action, argparse.BooleanOptionalAction):
        return "|".join(action.option_strings)
    return action.option_strings[-1]


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Generated by `just reference` from `shared/config`."
    yield ""
    yield "Settings are read from the file that `MAKIMA_CONFIG` names, else from `makima.toml` in the home, else from"
    yield "`~/.config/makima/makima.toml`; never from the current folder. Environment variables override the file:"
    yield "`MAKIMA_SLOTS` sets `slots`. The home itself is set by `MAKIMA_HOME` only. A process refuses to start with"
    yield "an unknown setting or a bad value. `makima config` prints the settings in force. Durations are in seconds."
    yield ""
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    told = _docstrings()
    for field in msgspec.structs.fields(Settings):
        default = "" if field.default is msgspec.NODEFAULT else _shown(field.default)
        yield f"| `{field.name}` | {default} | {told.get(field.name, '')} |"


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Generated by `just reference` from `shared/metrics.py` and `services/gateway/metrics.py`."
    yield ""
    yield "The gateway serves them at `/metrics`, without a token. Each scrape asks every process of the cluster what"
    yield "it counts, and Postgres once for the gauges. Counters begin at zero when their process starts. The labels"
    yield "`service` and `process` name the process that counted: `daemon` and `daemon-1`."
    yield ""
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    rows = [(name, "gauge", labels, says) for name, says, labels in GAUGES.values()]
    rows += [(f"{c.name}_total", "counter", (*c.labels, *WHOSE), c.says) for c in COUNTERS.values()]
    rows += [(timing.name, "histogram", WHOSE, timing.says) for timing in TIMINGS.values()]
    rows += [(name, "gauge", WHOSE, says) for name, (says, _) in USED.items()]
    for scraped in (*REGISTRY.collect(), *Scraped((), Live(None, None, 0), {}).collect()):  # type: ignore[arg-type]
        name = f"{scraped.name}_total" if scraped.type == "counter" else scraped.name
        if name not in {row[0] for row in rows}:
            rows.append((name, scraped.type, OWN_LABELS.get(name, ()), scraped.documentation))
    for name, kind, labels, says in sorted(rows):
        yield f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {says} |"


OWN_LABELS = {
    "makima_build_info": ("version",),
    "makima_http_requests_total": ("method", "route", "status"),
    "makima_http_request_duration_seconds": ("method", "route"),
    "makima_process_up": ("process",),
    "process_cpu_seconds_total": WHOSE,
}


def _shown(value: object) -> str:
    if value is None or value in ((), {}):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _docstrings() -> dict[str, str]:
    """The words that stand below each setting in its source."""
    classes = (node for node in ast.parse(inspect.getsource(declared)).body if isinstance(node, ast.ClassDef))
    body = next(node.body for node in classes if node.name == Settings.__name__)
    told: dict[str, str] = {}
    for before, after in pairwise(body):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                told[name] = " ".join(words.split())
    return told


if __name__ == "__main__":
    sys.exit(main())
