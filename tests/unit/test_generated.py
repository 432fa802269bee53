"""Documents that are written from the code say what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from shared.domain import statuses
from shared.messages.channels import ADMITTED, CHANNELS
from tools import asyncapi, state_machines
from tools import reference as manual
from tools.declarations import SERVICES, services, tag

DOCUMENT: dict[str, Any] = yaml.safe_load(asyncapi.PATH.read_text(encoding="utf-8"))


def references(node: object) -> Iterator[str]:
    """Every `$ref` below a node."""
    if isinstance(node, dict):
        yield from (v for k, v in node.items() if k == "$ref")
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(below)


def resolve(reference: str) -> Any:
    """What a reference points to. Fails when that is nothing."""
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_the_asyncapi_document_is_current() -> None:
    assert asyncapi.PATH.read_text(encoding="utf-8") == asyncapi.text(), "run `just asyncapi`"


def test_the_state_machines_are_current() -> None:
    assert state_machines.PATH.read_text(encoding="utf-8") == state_machines.text(), "run `just state-machines`"
    triggers = state_machines.TRIGGERS_PATH.read_text(encoding="utf-8")
    assert triggers == state_machines.triggers(), "run `just state-machines`"


def test_whoever_sends_a_message_is_admitted_where_it_goes() -> None:
    """The document's roles are those of the broker's door, and every service that connects has one at each channel."""
    for operation in DOCUMENT["operations"].values():
        channel = resolve(operation["channel"]["$ref"])
        admitted = {role for roles in channel["x-admits"].values() for role in roles}
        assert set(operation["x-roles"]) <= admitted
    for service in services():
        for name, operation in DOCUMENT["operations"].items():
            if name.startswith(f"{service.name}-"):
                has_roles = service.name != "broker" and "-link" not in name  # where keys are enrolled instead
                assert operation["x-roles"] == ([service.name] if has_roles else []), name
    assert {e: set(r) for c in DOCUMENT["channels"].values() for e, r in c["x-admits"].items()} == dict(ADMITTED)


def test_every_message_says_who_sends_it() -> None:
    sent_by = {name: message["x-sent-by"] for name, message in DOCUMENT["components"]["messages"].items()}
    assert sent_by["SpawnTask"] == ["broker", "executor"]  # the broker hands it on
    assert sent_by["TaskSucceeded"] == ["broker", "daemon"]
    assert sent_by["task.output"] == ["broker"]
    assert all(sent_by.values()), "a message that nobody sends"


def test_every_reference_of_the_document_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 100
    for reference in found:
        assert resolve(reference)


def test_a_discriminator_is_the_name_of_a_property() -> None:
    def check(node: object) -> None:
        if isinstance(node, dict):
            assert isinstance(node.get("discriminator", ""), str)
        for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            check(below)

    check(DOCUMENT["components"]["schemas"])


def test_an_operation_names_messages_of_its_own_channel_by_way_of_the_channel() -> None:
    for name, operation in DOCUMENT["operations"].items():
        channel = operation["channel"]["$ref"]
        assert operation["action"] in ("send", "receive")
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/"), name


def test_the_document_has_what_asyncapi_3_requires() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()
    for kind in ("channels", "operations", "servers"):
        assert all(re.fullmatch(r"[A-Za-z0-9_\-]+", name) for name in DOCUMENT[kind])
    for kind in ("messages", "schemas"):
        assert all(re.fullmatch(r"[A-Za-z0-9._\-]+", name) for name in DOCUMENT["components"][kind])
    for message in DOCUMENT["components"]["messages"].values():
        assert resolve(message["payload"]["$ref"])["properties"]["type"]["enum"] == [message["name"]]


def test_every_message_is_sent_by_somebody_and_taken_by_somebody() -> None:
    ways: dict[str, set[str]] = {"send": set(), "receive": set()}
    for operation in DOCUMENT["operations"].values():
        ways[operation["action"]] |= {m["$ref"].rpartition("/")[2] for m in operation["messages"]}
    batches = {tag(m) for channel in CHANNELS if channel.name != "events" for m in channel.messages}
    events = {tag(m) for channel in CHANNELS if channel.name == "events" for m in channel.messages}
    unsent = (batches | events) - ways["send"]
    assert not unsent, f"declared, and nobody sends them: {sorted(unsent)}"
    assert not batches - ways["receive"], "sent to nobody"


def test_a_service_declares_only_messages_of_its_channels() -> None:
    by_name = {channel.name: set(channel.messages) for channel in CHANNELS}
    assert [s.name for s in services()] == list(SERVICES)
    for service in services():
        assert service.consumes | service.emits <= by_name["events"]
        for declared in (service.sends, service.receives):
            assert all(of <= by_name[channel] for channel, of in declared.items()), service.name


@pytest.mark.parametrize("table", [machine[2] for machine in state_machines.MACHINES])
def test_every_transition_is_drawn_once(table: Any) -> None:
    drawn = state_machines.text().splitlines()
    for before, afters in table.items():
        for after in afters:
            assert f"    {before} --> {after}" in drawn
    arrows = [line for line in drawn if " --> " in line and "[*]" not in line]
    everything = (statuses.DIRECTIVE_TRANSITIONS, statuses.STEP_TRANSITIONS, statuses.TASK_TRANSITIONS)
    assert len(arrows) == sum(len(after) for one in everything for after in one.values())


def test_the_reference_of_the_command_line_and_of_the_settings_is_current() -> None:
    for name, text in manual.pages().items():
        assert (manual.DOCS / name).read_text(encoding="utf-8") == text, "run `just reference`"


def test_every_setting_says_what_it_is() -> None:
    table = manual.pages()["settings.md"].splitlines()
    assert not [row for row in table if row.startswith("| `") and row.endswith("|  |")]
