"""compose.yaml and the image agree with the processes that there are."""

from __future__ import annotations

from typing import Any

import yaml

from services.cluster.service import SERVICES
from shared.config.settings import Settings
from tests.conftest import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def test_every_process_is_a_container_that_runs_it() -> None:
    own = {name: one for name, one in COMPOSE["services"].items() if name != "postgres"}
    assert set(own) == {*SERVICES, "daemon"}
    for name, one in own.items():
        (module,) = one["command"]
        assert module == f"services.{name}"
        assert (ROOT / "services" / name / "__main__.py").is_file()
        assert any(volume.endswith(":/state") for volume in one["volumes"])


def test_every_variable_that_is_set_is_a_setting() -> None:
    names = {f"MAKIMA_{name.upper()}" for name in Settings.__struct_fields__}
    for name, one in COMPOSE["services"].items():
        assert name == "postgres" or set(one["environment"]) <= names


def test_the_image_holds_what_is_copied_and_no_more() -> None:
    copied = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    assert all((ROOT / name).exists() for name in copied)
    kept = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in kept if line.startswith("!")}


def test_agents_find_the_gateways_socket_in_the_volume_that_all_share() -> None:
    for name in {*SERVICES, "daemon"}:
        one = COMPOSE["services"][name]
        assert f"run:{one['environment']['MAKIMA_RUN']}" in one["volumes"]
    assert COMPOSE["services"]["gateway"]["environment"]["MAKIMA_HOST"] == "0.0.0.0"


def test_what_is_plain_among_the_containers_is_published_to_this_machine_alone() -> None:
    gateway = COMPOSE["services"]["gateway"]
    assert gateway["environment"]["MAKIMA_PLAIN_HTTP"] == "true"
    assert all(port.startswith("127.0.0.1:") for port in gateway["ports"])


def test_a_daemon_reaches_neither_the_database_nor_the_services_home() -> None:
    daemon, planner = COMPOSE["services"]["daemon"], COMPOSE["services"]["planner"]
    assert set(daemon["environment"]) == {"MAKIMA_RUN", "MAKIMA_HOST"}
    assert "MAKIMA_POSTGRES_URL" in planner["environment"]
    assert set(daemon["volumes"]) & set(planner["volumes"]) == {"run:/run/makima"}


def test_each_folder_that_is_a_volume_is_the_images_users() -> None:
    made = DOCKERFILE.partition("mkdir -m 700 ")[2].partition(" && ")[0].split()
    mounted = {
        volume.partition(":")[2] for name in ("planner", "daemon") for volume in COMPOSE["services"][name]["volumes"]
    }
    assert set(made) == mounted and f"chown makima {' '.join(made)}" in DOCKERFILE
