"""Keys of daemons on other machines: whoever is invited or accepted joins, once; the broker is told by a file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from zmq.utils import z85

from services.gateway.link.calls import MAX_JOINING
from services.gateway.link.joining import MAX_ASKING, MAX_OF_ONE_DAEMON, REPLACED_SECONDS, USED_SECONDS
from shared import failpoints
from shared.bus.link import Admitted, fingerprint, invitation, key_pair, public_of, read_admitted, server_keys
from shared.messages.events import DaemonKeyChanged
from shared.messages.frames import UPWARD, header
from shared.messages.link import Join, Joined, NotJoined, Open, Piece
from tests.contract.gateway.test_gateway import free_port
from tests.contract.gateway.test_gateway import http as http
from tests.contract.service_harness import ServiceHarness
from tests.sampled import sampled

SERVICE = "gateway"
SETTINGS = {
    "port": str(free_port()),
    "link": "0.0.0.0:8421",
    "link_address": "cluster.example.org:8421",
    "link_asking": "true",
}


@pytest.fixture
def armed(stage: ServiceHarness, tmp_path: Path) -> Iterator[Path]:
    """The folder of failpoints that the gateway goes by."""
    stage.environment["MAKIMA_FAILPOINTS"] = str(tmp_path)
    restart(stage)
    yield tmp_path
    del stage.environment["MAKIMA_FAILPOINTS"]
    restart(stage)


def restart(stage: ServiceHarness) -> None:
    stage.kill()
    stage.start()


def invite(http: httpx.Client, **wishes: object) -> dict[str, Any]:
    answer = http.post("/v1/daemons/invitations", json=wishes)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def invited(http: httpx.Client, **wishes: object) -> str:
    """An invitation's public key."""
    return public_of(invitation(invite(http, **wishes)["line"]).secret)


def join(stage: ServiceHarness, who: str, key: str, name: str = "far") -> Joined | NotJoined:
    """The answer to a Join."""
    stage.answers.clear()
    stage.call(who, Join(key=key, name=name))
    stage.until(lambda: [to for to, _ in stage.answers if to == who], f"an answer to {who}")
    (answer,) = [answer for to, answer in stage.answers if to == who]
    assert isinstance(answer, Joined | NotJoined) and answer.key == key
    return answer


def joined(stage: ServiceHarness, who: str, key: str, name: str = "far") -> Joined:
    answer = join(stage, who, key, name)
    assert isinstance(answer, Joined), answer
    return answer


def refused(stage: ServiceHarness, who: str, key: str, name: str = "far") -> NotJoined:
    answer = join(stage, who, key, name)
    assert isinstance(answer, NotJoined), answer
    return answer


def a_daemon(stage: ServiceHarness, http: httpx.Client, name: str = "far") -> str:
    """The key of a daemon that has joined."""
    key = key_pair().public
    joined(stage, f"invitation:{invited(http, name=name)}", key)
    return key


def admitted(stage: ServiceHarness) -> dict[str, Admitted]:
    return {one.key: one for one in read_admitted(stage.settings.home).keys}


def key_row(stage: ServiceHarness, key: str) -> dict[str, Any]:
    (row,) = stage.rows.all("daemon_key", public_key=key)
    return row


def logged(stage: ServiceHarness, key: str) -> list[str]:
    """What the audit log says of a key."""
    rows = [row for row in stage.rows.all("event", type="daemon.key_changed") if row["body"]["key"] == fingerprint(key)]
    return [row["body"]["status"] for row in sorted(rows, key=lambda row: row["seq"])]


# -- invitations -----------------------------------------------------------------------------------------------------


def test_an_invitation_says_where_to_whom_and_with_what_and_no_row_holds_its_secret(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    asked = {"Idempotency-Key": "invite-1"}
    told = http.post("/v1/daemons/invitations", json={"name": "far"}, headers=asked).json()
    line = invitation(told["line"])
    assert (line.address, line.name) == ("cluster.example.org:8421", "far")
    assert line.server == server_keys(stage.settings.home).public
    key = public_of(line.secret)
    assert told["fingerprint"] == fingerprint(key)
    one = admitted(stage)[key]
    assert (one.kind, one.name) == ("invitation", "far")
    assert one.until is not None and abs(one.until - time.time() - 3600) < 60
    stage.await_event(DaemonKeyChanged, key=fingerprint(key), status="invited", daemon="far")
    kept = str([stage.rows.all(table) for table in ("daemon_key", "idempotency_key", "event")])
    assert fingerprint(key) in kept and line.secret not in kept and told["line"] not in kept
    assert http.post("/v1/daemons/invitations", json={"name": "far"}, headers=asked).json() == told
    assert len(stage.rows.all("daemon_key")) == 1


def test_the_first_key_that_an_invitation_brings_is_a_daemons_and_no_other(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    by = invited(http, name="far", labels=["gpu", "big"], slots=7)
    own, other = key_pair().public, key_pair().public
    answer = joined(stage, f"invitation:{by}", own, "ignored")
    assert answer == Joined(key=own, name="far", owner="default", labels=("gpu", "big"), slots=7)
    assert joined(stage, f"invitation:{by}", own) == answer, "it may not have heard the first answer"
    assert joined(stage, "daemon:far", own) == answer
    told = refused(stage, f"invitation:{by}", other)
    assert "used" in told.reason and not told.waits
    files = admitted(stage)
    assert files[own] == Admitted(key=own, name="far", kind="daemon", labels=("gpu", "big"), slots=7)
    assert files.keys() == {own, by} and (files[by].until or 0) <= time.time() + USED_SECONDS
    assert (logged(stage, by), logged(stage, own)) == (["invited", "used"], ["accepted"])


def test_an_invitation_without_a_name_takes_one_that_is_free(stage: ServiceHarness, http: httpx.Client) -> None:
    by, own = invited(http), key_pair().public
    stage.rows.daemon("local")
    a_daemon(stage, http, "taken")
    for bad in ("", "..", "a/b", "a:b", "a\nb", "a\0b", "x" * 64, "-a"):
        assert "is no name" in refused(stage, f"invitation:{by}", own, bad).reason
    assert "a daemon called local already" in refused(stage, f"invitation:{by}", own, "local").reason
    assert "belongs to another" in refused(stage, f"invitation:{by}", own, "taken").reason
    assert joined(stage, f"invitation:{by}", own, "free").name == "free"


def test_a_name_that_is_taken_is_refused_when_it_is_asked_for(stage: ServiceHarness, http: httpx.Client) -> None:
    stage.rows.daemon("local")
    a_daemon(stage, http, "far")
    for name in ("local", "far"):
        answer = http.post("/v1/daemons/invitations", json={"name": name})
        assert answer.status_code == 409 and name in answer.json()["detail"]
    assert http.post("/v1/daemons/invitations", json={"name": "a/b"}).status_code == 400


def test_a_daemon_of_this_machine_that_is_away_keeps_its_name(stage: ServiceHarness, http: httpx.Client) -> None:
    stage.rows.daemon("desk")
    stage.rows.disconnect("desk")
    answer = http.post("/v1/daemons/invitations", json={"name": "desk"})
    assert answer.status_code == 409 and "a daemon called desk already" in answer.json()["detail"]
    by, own = invited(http), key_pair().public
    assert "a daemon called desk already" in refused(stage, f"invitation:{by}", own, "desk").reason


def test_two_invitations_of_one_name_make_one_daemon(stage: ServiceHarness, http: httpx.Client) -> None:
    first, second = invited(http, name="far"), invited(http, name="far")
    joined(stage, f"invitation:{second}", key_pair().public)
    assert "belongs to another" in refused(stage, f"invitation:{first}", key_pair().public).reason


def test_what_is_no_key_or_anothers_is_refused(stage: ServiceHarness, http: httpx.Client) -> None:
    by = invited(http, name="far")
    own = a_daemon(stage, http, "other")
    for key in ("ü" * 40, " " * 40, by, own):
        assert not refused(stage, f"invitation:{by}", key).waits
    assert key_row(stage, by)["status"] == "invited"
    assert not refused(stage, "nobody", key_pair().public).waits


def test_an_invitation_that_has_expired_or_was_revoked_brings_nobody_in(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    by, late = invited(http, name="far"), invited(http, name="late")
    http.post(f"/v1/daemons/keys/{fingerprint(by)}/revoke").raise_for_status()
    assert by not in admitted(stage)
    stage.connection.execute(
        "UPDATE makima.daemon_key SET expires_at = makima.now() - interval '1 second' WHERE public_key = %s", (late,)
    )
    for key in (by, late):
        assert "revoked" in refused(stage, f"invitation:{key}", key_pair().public).reason
    assert [one["fingerprint"] for one in http.get("/v1/daemons/keys").json()] == [fingerprint(by)]
    restart(stage)
    stage.until(lambda: not stage.rows.all("daemon_key", public_key=late), "the sweep at the gateway's start")
    assert logged(stage, late) == ["invited", "expired"]
    stage.until(lambda: late not in admitted(stage), "the file after it")


# -- asking ----------------------------------------------------------------------------------------------------------


def test_a_key_that_nobody_knows_waits_for_a_person(stage: ServiceHarness, http: httpx.Client) -> None:
    own = key_pair().public
    for _ in range(2):
        told = refused(stage, f"asking:{own}", own, "wish")
        assert told.waits and f"makima daemon accept {fingerprint(own)}" in told.reason
    assert own not in admitted(stage) and read_admitted(stage.settings.home).asking
    (shown,) = http.get("/v1/daemons/keys").json()
    assert (shown["fingerprint"], shown["name"], shown["status"]) == (fingerprint(own), "wish", "asking")
    accepted = http.post(f"/v1/daemons/keys/{fingerprint(own)}/accept", json={"name": "far"})
    assert accepted.status_code == 200 and accepted.json()["status"] == "accepted"
    assert admitted(stage)[own] == Admitted(key=own, name="far", kind="daemon")
    assert joined(stage, f"asking:{own}", own, "wish").name == "far"
    assert logged(stage, own) == ["asking", "accepted"]
    again = http.post(f"/v1/daemons/keys/{fingerprint(own)}/accept", json={})
    assert again.status_code == 409 and "accepted" in again.json()["detail"]


def test_nobody_asks_for_another_and_few_wait_at_once(stage: ServiceHarness, http: httpx.Client) -> None:
    keys = [key_pair().public for _ in range(MAX_ASKING + 1)]
    assert not refused(stage, f"asking:{keys[0]}", keys[1]).waits
    for key in keys:
        assert refused(stage, f"asking:{key}", key).waits
    assert {row["public_key"] for row in stage.rows.all("daemon_key")} == set(keys[:-1])
    http.post(f"/v1/daemons/keys/{fingerprint(keys[0])}/revoke").raise_for_status()
    assert not refused(stage, f"asking:{keys[0]}", keys[0]).waits
    assert "accept" in refused(stage, f"asking:{keys[-1]}", keys[-1]).reason


def test_a_crowd_that_asks_keeps_nobody_out_who_is_invited(stage: ServiceHarness, http: httpx.Client) -> None:
    own = key_pair().public
    who = f"invitation:{invited(http, name='far')}"
    crowd = [f"asking:{key_pair().public}" for _ in range(4 * MAX_JOINING)]
    frames = [(asker, Join(key=asker.removeprefix("asking:"), name="wish")) for asker in crowd]
    stage.answers.clear()
    stage.call_raw(*(call_of(asker, join) for asker, join in (*frames, (who, Join(key=own, name="far")))))
    stage.until(lambda: [answer for to, answer in stage.answers if to == who], "an answer to the invited one")
    (answer,) = [answer for to, answer in stage.answers if to == who]
    assert isinstance(answer, Joined)


def call_of(who: str, call: Join) -> list[bytes]:
    return [b"link", header("test"), who.encode(), UPWARD.encode([call])]


def test_a_key_that_asks_can_be_invited_after_all(stage: ServiceHarness, http: httpx.Client) -> None:
    own = key_pair().public
    refused(stage, f"asking:{own}", own, "wish")
    assert joined(stage, f"invitation:{invited(http, slots=3)}", own, "far").slots == 3
    assert admitted(stage)[own].name == "far"


# -- revoking and replacing ------------------------------------------------------------------------------------------


def test_a_key_that_is_revoked_is_out_and_its_name_free(stage: ServiceHarness, http: httpx.Client) -> None:
    own = a_daemon(stage, http)
    answer = http.post(f"/v1/daemons/keys/{fingerprint(own)}/revoke")
    assert answer.status_code == 200 and answer.json()["status"] == "revoked"
    assert own not in admitted(stage)
    assert http.post(f"/v1/daemons/keys/{fingerprint(own)}/revoke").status_code == 200
    assert logged(stage, own) == ["accepted", "revoked"]
    assert "revoked already" in refused(stage, f"invitation:{invited(http)}", own).reason
    assert refused(stage, "daemon:far", key_pair().public).waits is False
    a_daemon(stage, http)
    assert http.post("/v1/daemons/keys/0000-0000-0000-0000/revoke").status_code == 404


def test_a_daemon_takes_another_key_and_has_both_for_a_while(stage: ServiceHarness, http: httpx.Client) -> None:
    old, new = a_daemon(stage, http), key_pair().public
    assert joined(stage, "daemon:far", new, "elsewhere").name == "far"
    assert joined(stage, "daemon:far", new).name == "far"
    files = admitted(stage)
    assert files[new] == Admitted(key=new, name="far", kind="daemon")
    assert abs((files[old].until or 0) - time.time() - REPLACED_SECONDS) < 60
    joined(stage, "daemon:far", key_pair().public)
    assert len([one for one in admitted(stage).values() if one.name == "far" and one.kind == "daemon"]) == 3
    assert MAX_OF_ONE_DAEMON == 3 and refused(stage, "daemon:far", key_pair().public).waits
    stage.connection.execute("UPDATE makima.daemon_key SET expires_at = makima.now() WHERE public_key = %s", (old,))
    restart(stage)
    stage.until(lambda: key_row(stage, old)["status"] == "revoked", "the sweep at the gateway's start")
    assert logged(stage, old) == ["accepted", "revoked"]


def test_revoking_a_daemons_newest_key_revokes_those_that_it_replaced(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    old, new = a_daemon(stage, http), key_pair().public
    joined(stage, "daemon:far", new)
    http.post(f"/v1/daemons/keys/{fingerprint(new)}/revoke").raise_for_status()
    assert not {old, new} & admitted(stage).keys()
    assert {row["status"] for row in stage.rows.all("daemon_key") if row["public_key"] in (old, new)} == {"revoked"}


def test_what_is_no_message_or_not_its_senders_to_send_is_skipped(stage: ServiceHarness, http: httpx.Client) -> None:
    by = invited(http)
    stage.call_raw([b"link"], [b"link", b"\xff", b"daemon:d1", b""], [b"link", b"", b"\xff", b"\xc1"])
    stage.call(f"invitation:{by}", Open(stream=1), Piece(stream=1, at=0, data=b"GET /healthz HTTP/1.1\r\n\r\n"))
    assert joined(stage, f"invitation:{by}", key_pair().public).name == "far"
    assert not [answer for _, answer in stage.answers if not isinstance(answer, Joined)]


# -- the command line -----------------------------------------------------------------------------------------------


def makima(stage: ServiceHarness, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A person's command on the cluster's machine."""
    argv = [sys.executable, "-m", "cli", "daemon", *arguments]
    return subprocess.run(argv, env=stage.environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_person_invites_sees_accepts_and_revokes(stage: ServiceHarness) -> None:
    done = makima(stage, "invite", "--name", "far", "--labels", "gpu, big", "--slots", "3", "--expires", "10m")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    by = public_of(invitation(line).secret)
    assert "good once, for 10m" in done.stderr and fingerprint(by) in done.stderr and line not in done.stderr
    own, asking = key_pair().public, key_pair().public
    answer = joined(stage, f"invitation:{by}", own)
    assert (answer.labels, answer.slots) == (("gpu", "big"), 3)
    refused(stage, f"asking:{asking}", asking, "wish")
    shown = {one["fingerprint"]: one["status"] for one in json.loads(makima(stage, "keys", "-o", "json").stdout)}
    assert shown == {fingerprint(by): "used", fingerprint(own): "accepted", fingerprint(asking): "asking"}
    assert "accepted" in makima(stage, "accept", fingerprint(asking), "--name", "other").stdout
    stage.rows.daemon("other")
    listed = makima(stage, "list").stdout
    assert fingerprint(asking) in listed
    assert "revoked" in makima(stage, "revoke", "other").stdout
    assert "revoked" in makima(stage, "revoke", fingerprint(own), "-o", "json").stdout
    assert admitted(stage).keys() == {by}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("invite", "--name", "a/b"), "name"),
        (("invite", "--expires", "soon"), "'soon' is no time; write 90s"),
        (("accept", "0000-0000-0000-0000"), "no key has the fingerprint 0000-0000-0000-0000"),
        (("revoke", "nobody"), "no key is 'nobody''s; `makima daemon keys` shows them"),
    ],
)
def test_what_a_person_gets_wrong_is_said_in_a_line(
    stage: ServiceHarness, arguments: tuple[str, ...], said: str
) -> None:
    done = makima(stage, *arguments)
    assert done.returncode and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


# -- a gateway that dies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", sampled(("before_commit", "after_commit"), {"after_commit"}))
def test_an_invitation_or_a_revocation_that_was_cut_off_is_done_once(
    stage: ServiceHarness, http: httpx.Client, armed: Path, moment: str
) -> None:
    asking = key_pair().public
    refused(stage, f"asking:{asking}", asking)
    for place, path, body in (
        ("gateway.invite.", "invitations", {"name": "far-2"}),
        ("gateway.accept_key.", f"keys/{fingerprint(asking)}/accept", {}),
        ("gateway.revoke_key.", f"keys/{fingerprint(asking)}/revoke", None),
    ):
        failpoints.arm(armed, f"{place}{moment}", "kill")
        asked = {"Idempotency-Key": place + moment}
        with pytest.raises(httpx.TransportError):
            http.post(f"/v1/daemons/{path}", json=body, headers=asked)
        assert failpoints.fired(armed, f"{place}{moment}")
        restart(stage)
        assert http.post(f"/v1/daemons/{path}", json=body, headers=asked).status_code in (200, 201)
        stage.until(lambda: admitted(stage).keys() == connectable(stage), "a file that says what the rows do")
    assert logged(stage, asking) == ["asking", "accepted", "revoked"]


POINTS = (
    *("gateway.join.before_commit", "gateway.join.after_commit"),
    *("gateway.admitted.before_commit", "gateway.admitted.after_commit"),
    *("secret.replace.before_fsync", "secret.replace.after_fsync"),
    *("gateway.calls.before_send", "gateway.calls.after_send"),
    *("gateway.ready.before_send", "gateway.ready.after_send"),
)
EACH_RUN = ("gateway.join.after_commit", "secret.replace.before_fsync", "gateway.calls.before_send")


@pytest.mark.parametrize("point", sampled(POINTS, EACH_RUN))
def test_who_joins_while_the_gateway_dies_has_joined_when_it_says_it_again(
    stage: ServiceHarness, http: httpx.Client, armed: Path, point: str
) -> None:
    by, own = invited(http, name="far"), key_pair().public
    failpoints.arm(armed, point, "kill")
    stage.call(f"invitation:{by}", Join(key=own, name="far"))
    died(stage, armed, point)
    assert joined(stage, f"invitation:{by}", own).name == "far"
    assert admitted(stage)[own].kind == "daemon"
    assert (logged(stage, by), logged(stage, own)) == (["invited", "used"], ["accepted"])


def died(stage: ServiceHarness, armed: Path, point: str) -> None:
    deadline = time.monotonic() + 30
    while stage.alive and time.monotonic() < deadline:
        time.sleep(0.02)
    assert failpoints.fired(armed, point)
    restart(stage)


def connectable(stage: ServiceHarness) -> set[str]:
    return {row["public_key"] for row in stage.rows.all("daemon_key") if row["status"] in ("invited", "accepted")}


def test_a_file_that_says_something_else_is_put_right_when_the_gateway_starts(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    own = a_daemon(stage, http)
    (stage.settings.home / "keys" / "link-admitted").write_text("nonsense")
    restart(stage)
    stage.until(lambda: (stage.settings.home / "keys" / "link-admitted").read_text() != "nonsense", "a new file")
    assert own in admitted(stage)


def test_a_key_is_what_the_broker_is_shown() -> None:
    assert len(z85.decode(key_pair().public)) == 32


# -- another owner's ---------------------------------------------------------------------------------------------------


@pytest.fixture
def web(stage: ServiceHarness, http: httpx.Client) -> Iterator[httpx.Client]:
    """The interface as the admin of another owner sees it."""
    stage.rows.owner("web")
    headers = {**http.headers, "Makima-Owner": "web"}
    with httpx.Client(base_url=http.base_url, headers=headers, timeout=30) as client:
        yield client


def test_a_daemon_belongs_to_the_owner_whose_admin_invited_it(
    stage: ServiceHarness, http: httpx.Client, web: httpx.Client
) -> None:
    key = a_daemon(stage, http, "laptop")
    by, other = invited(web, name="laptop", slots=3), key_pair().public
    answer = joined(stage, f"invitation:{by}", other)
    assert answer == Joined(key=other, name="laptop", owner="web", slots=3)
    assert joined(stage, f"invitation:{by}", other) == answer
    assert joined(stage, f"asking:{other}", other) == answer, "by a connection on which it has not said Hello"
    known = admitted(stage)
    assert (known[key].owner, known[other].owner, known[other].name) == ("default", "web", "laptop")
    stage.await_event(DaemonKeyChanged, key=fingerprint(other), status="accepted", owner="web")
    assert [one["name"] for one in web.get("/v1/daemons/keys").json() if one["status"] == "accepted"] == ["laptop"]
    assert fingerprint(key) not in web.get("/v1/daemons/keys").text
    assert web.post(f"/v1/daemons/keys/{fingerprint(key)}/revoke").status_code == 404


def test_each_owners_daemon_takes_another_key_in_its_own_place(
    stage: ServiceHarness, http: httpx.Client, web: httpx.Client
) -> None:
    key = a_daemon(stage, http, "laptop")
    other, next_one = key_pair().public, key_pair().public
    joined(stage, f"invitation:{invited(web, name='laptop')}", other)
    assert joined(stage, "daemon:web/laptop", next_one).owner == "web"
    assert key_row(stage, other)["expires_at"] is not None
    assert key_row(stage, key)["expires_at"] is None
    assert "another's" in refused(stage, "daemon:web/laptop", key).reason
    assert "another's" in refused(stage, f"invitation:{invited(web, name='desk')}", key).reason


def test_who_asks_asks_the_clusters_own_owner_and_no_other_accepts_it(
    stage: ServiceHarness, http: httpx.Client, web: httpx.Client
) -> None:
    key = key_pair().public
    assert refused(stage, f"asking:{key}", key).waits
    path = f"/v1/daemons/keys/{fingerprint(key)}/accept"
    assert web.post(path, json={}).status_code == 404
    assert http.post(path, json={"slots": 6}).json()["slots"] == 6
    assert (admitted(stage)[key].owner, admitted(stage)[key].slots) == ("default", 6)


def test_what_expires_of_any_owner_is_gone(stage: ServiceHarness, http: httpx.Client, web: httpx.Client) -> None:
    mine, theirs, asker = invited(http), invited(web), key_pair().public
    refused(stage, f"asking:{asker}", asker)
    stage.connection.execute("UPDATE makima.daemon_key SET expires_at = makima.now() - interval '1 second'")
    restart(stage)
    stage.until(lambda: not stage.rows.all("daemon_key"), "no row of them")
    stage.until(lambda: not {mine, theirs, asker} & admitted(stage).keys(), "the file without them")
    stage.await_event(DaemonKeyChanged, key=fingerprint(theirs), status="expired", owner="web")


@pytest.mark.parametrize("name", ["keys", "invitations"])
def test_no_daemon_has_a_name_that_the_interface_has_already(http: httpx.Client, name: str) -> None:
    assert http.post("/v1/daemons/invitations", json={"name": name}).status_code in (400, 422)


def test_no_daemon_joins_beyond_what_its_owner_may_have(
    stage: ServiceHarness, http: httpx.Client, web: httpx.Client
) -> None:
    stage.rows.change("owner", stage.rows.owner("web"), max_daemons=1)
    by = invited(web, name="second")
    joined(stage, f"invitation:{invited(web, name='first')}", key_pair().public)
    own = key_pair().public
    told = refused(stage, f"invitation:{by}", own)
    assert not told.waits and told.reason.startswith("web may have no more than 1 daemons, and has them: revoke one")
    a_daemon(stage, http, "first")
    stage.rows.change("owner", stage.rows.owner("web"), max_daemons=2)
    assert joined(stage, f"invitation:{by}", own).owner == "web"


def test_no_key_is_accepted_beyond_what_its_owner_may_have(stage: ServiceHarness, http: httpx.Client) -> None:
    key = key_pair().public
    refused(stage, f"asking:{key}", key)
    stage.rows.daemon("local")
    stage.rows.change("owner", stage.rows.owner(), max_daemons=1)
    answer = http.post(f"/v1/daemons/keys/{fingerprint(key)}/accept", json={})
    assert answer.status_code == 409
    assert "default may have no more than 1 daemons" in answer.json()["detail"]
    assert key_row(stage, key)["status"] == "asking"


def test_what_an_owner_may_not_have_or_spend_is_said(stage: ServiceHarness, web: httpx.Client) -> None:
    owner = stage.rows.owner("web")
    stage.rows.daemon("a-late", owner="web", connected_at="2021-01-01")
    stage.rows.daemon("early", owner="web", connected_at="2020-01-01")
    stage.rows.change("owner", owner, max_daemons=1, max_cost_usd_a_day=2)
    refuses = {one["name"]: one["refuses"] for one in web.get("/v1/daemons").json()}
    assert refuses == {"a-late": "its owner may have no more than 1 daemons", "early": None}
    assert web.get("/v1/overview").json()["held"] is None
    stage.connection.execute(
        "INSERT INTO makima.owner_spending (owner_id, day, cost_usd)"
        " VALUES (%s, (makima.now() AT TIME ZONE 'UTC')::date, 2.5)",
        (owner,),
    )
    said = "its owner has spent $2.50 today, and may spend $2.00 a day: it goes on at 00:00 UTC"
    assert web.get("/v1/overview").json()["held"]["why"] == said
    directive = stage.rows.directive(owner="web")
    stage.rows.step(directive, status="ready")
    assert said in web.get(f"/v1/why/{directive}").json()["why"]
    (waiting,) = web.get("/v1/inbox").json()
    assert (waiting["kind"], waiting["text"]) == ("waiting", said)
