"""Signing in at an OpenID provider: what counts, and everything that somebody may try instead."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from services.gateway.rows.signin import OwnMembership
from services.gateway.signin import pages
from shared import failpoints
from shared.domain.challenges import challenge_of, decoded, encoded, mark_of, new_verifier
from shared.domain.ids import new_id
from shared.domain.roles import Role
from tests.contract.gateway.test_daemon_keys import armed, restart
from tests.contract.gateway.test_gateway import free_port
from tests.contract.service_harness import ServiceHarness
from tests.provider.browser import Browser
from tests.provider.odd import Answer, Odd, odd_provider, signed

__all__ = ["armed"]
SERVICE = "gateway"
PORT, PROVIDER = free_port(), free_port()
ADDRESS = f"http://127.0.0.1:{PORT}"
SETTINGS = {
    "port": str(PORT),
    "public_url": ADDRESS,
    "oidc_issuer": f"http://127.0.0.1:{PROVIDER}",
    "oidc_client_id": "makima",
}
STATE = "s" * 32
pytestmark = pytest.mark.usefixtures("stage", "odd")
LOOPBACK = "http://127.0.0.1:1999/?"


KEY = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})


@pytest.fixture
def odd() -> Iterator[Odd]:
    """The provider, of which the gateway may know already what it says of itself."""
    with odd_provider(PROVIDER) as odd:
        odd.key = KEY
        odd.says = {"email": "ada@example.com", "email_verified": True}
        yield odd


@pytest.fixture
def unknown(stage: ServiceHarness) -> Iterator[None]:
    """The gateway has not met the provider before, nor does it know afterwards what that has said."""
    restart(stage)
    yield
    restart(stage)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def door(verifier: str, **asked: str) -> str:
    """The address that a command line opens."""
    return f"{ADDRESS}/signin?{urlencode({'challenge': challenge_of(verifier), 'state': STATE, **asked})}"


def signed_in(browser: Browser, verifier: str, **asked: str) -> str:
    """The code that a person copies who signs in."""
    browser.open(door(verifier, **asked))
    assert "Go on only" in browser.text, browser.text
    browser.submit()
    assert browser.at is not None and browser.at.status_code == 200
    return browser.text.rpartition(" ")[2]


def redeem(code: str, verifier: str) -> httpx.Response:
    asked = {"code": code, "verifier": verifier, "name": "a laptop"}
    return httpx.post(f"{ADDRESS}/signin/token", json=asked, timeout=30)


def refused(browser: Browser, status: int) -> str:
    """Why nobody is signed in: one line on a page."""
    assert browser.at is not None
    assert browser.at.status_code == status, browser.text
    found = re.fullmatch("Sign in to makima Nobody is signed in: (.*)", browser.text)
    assert found, browser.text
    return found[1]


def bound(stage: ServiceHarness) -> dict[str, str | None]:
    """Which subject signs in by which name."""
    return {row["name"]: row["subject"] for row in stage.rows.all("person")}


def nobody_came_in(stage: ServiceHarness) -> bool:
    return not stage.rows.all("person_token") and not any(bound(stage).values())


@pytest.fixture(autouse=True)
def _nobody(stage: ServiceHarness) -> None:
    for table in ("person_token", "member", "person"):
        stage.connection.execute(f"DELETE FROM makima.{table}")


# -- who is let in ----------------------------------------------------------------------------------------------------


def test_a_member_gets_a_token_of_their_own_that_ends(stage: ServiceHarness, browser: Browser) -> None:
    stage.rows.member("ada@example.com", "operator")
    verifier = new_verifier()
    answer = redeem(signed_in(browser, verifier, machine="ada's laptop"), verifier)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["person"], told["owner"], told["role"]) == ("ada@example.com", "default", "operator")
    (row,) = stage.rows.all("person_token")
    assert row["name"] == "a laptop" and str(row["role"]) == "operator"
    assert 29.9 < (row["expires_at"] - row["created_at"]).total_seconds() / 86_400 < 30.1
    headers = {"Authorization": f"Bearer {told['token']}"}
    assert httpx.get(f"{ADDRESS}/v1/directives", headers=headers).status_code == 200
    assert bound(stage) == {"ada@example.com": "subject-1"}


def test_who_is_no_member_gets_a_line_and_leaves_no_row(stage: ServiceHarness, browser: Browser) -> None:
    said = refused(browser.open(door(new_verifier())), 403)
    assert said == (
        "ada@example.com is no member of any owner here; an admin adds you: makima member add ada@example.com."
    )
    assert stage.rows.all("person") == []


def test_a_person_without_membership_is_not_bound(stage: ServiceHarness, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    stage.connection.execute("DELETE FROM makima.member")
    assert "is no member" in refused(browser.open(door(new_verifier())), 403)
    assert bound(stage) == {"ada@example.com": None}


def test_the_subject_counts_once_it_is_known_and_not_the_name(stage: ServiceHarness, odd: Odd) -> None:
    stage.rows.member("ada@example.com")
    stage.rows.member("eve@example.com")
    verifier = new_verifier()
    with Browser() as browser:
        signed_in(browser, verifier)
    odd.says = {"email": "eve@example.com", "email_verified": True}  # Ada's address is another one now
    with Browser() as browser:
        assert redeem(signed_in(browser, verifier), verifier).json()["person"] == "ada@example.com"
    odd.says = {"email": "ada@example.com", "email_verified": True, "sub": "subject-2"}  # and hers is another's
    with Browser() as browser:
        said = refused(browser.open(door(verifier)), 403)
    assert said.startswith("ada@example.com is the name of another account here")
    assert bound(stage) == {"ada@example.com": "subject-1", "eve@example.com": None}


def test_who_is_removed_and_added_again_may_be_another_account_at_the_provider(stage: ServiceHarness, odd: Odd) -> None:
    stage.rows.member("ada@example.com", "viewer")
    stage.rows.member("ada@example.com", "viewer", "red")
    with Browser() as browser:
        browser.open(door(new_verifier()))
    token = (stage.settings.home / "token").read_text().strip()
    for owner, subject in (("red", "subject-1"), ("default", None)):
        headers = {"Authorization": f"Bearer {token}", "Makima-Owner": owner}
        removed = httpx.delete(f"{ADDRESS}/v1/members/ada@example.com", headers=headers, timeout=30)
        assert removed.status_code == 200, removed.text
        assert bound(stage) == {"ada@example.com": subject}
    stage.rows.member("ada@example.com", "viewer")
    odd.says["sub"] = "subject-2"
    with Browser() as browser:
        assert "Go on only" in browser.open(door(new_verifier())).text
    assert bound(stage) == {"ada@example.com": "subject-2"}


def test_a_member_of_several_owners_chooses_on_the_page(stage: ServiceHarness, browser: Browser) -> None:
    for owner in ("red", "blue"):
        stage.rows.member("ada@example.com", "viewer", owner)
    verifier = new_verifier()
    browser.open(door(verifier))
    assert "Sign in to blue as viewer Sign in to red as viewer" in browser.text
    code = browser.submit("red").text.rpartition(" ")[2]
    assert redeem(code, verifier).json()["owner"] == "red"


def test_a_member_of_several_owners_chooses_on_the_command_line(stage: ServiceHarness, browser: Browser) -> None:
    for owner in ("red", "blue"):
        stage.rows.member("ada@example.com", "viewer", owner)
    stage.rows.owner("green")
    verifier = new_verifier()
    assert redeem(signed_in(browser, verifier, owner="blue"), verifier).json()["owner"] == "blue"
    none, other = (refused(browser.open(door(verifier, owner=owner)), 403) for owner in ("none", "green"))
    assert none.replace("none", "green") == other == "you are no member of an owner green."


def test_an_owner_that_the_page_did_not_offer_is_not_given(stage: ServiceHarness, browser: Browser) -> None:
    stage.rows.member("ada@example.com", "viewer", "red")
    stage.rows.owner("green")
    for told in ({"owner": "green"}, {}):
        browser.open(door(new_verifier()))
        assert browser.at is not None
        form = re.search('name="known" value="([^"]*)"', browser.at.text)
        assert form
        answer = browser.http.post(f"{ADDRESS}/signin/confirm", data={"known": form[1], **told})
        assert "no member of an owner" in answer.text
    assert stage.rows.all("person_token") == []


def test_claims_that_the_token_lacks_are_asked_for(stage: ServiceHarness, odd: Odd, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    odd.in_userinfo, odd.says = odd.says, {}
    signed_in(browser, new_verifier())
    assert bound(stage) == {"ada@example.com": "subject-1"}


# -- what the provider says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"nonce": "another"}, "(nonce)"),
        ({"nonce": None}, "(nonce)"),
        ({"iss": "http://127.0.0.1:1"}, "(iss)"),
        ({"aud": "somebody"}, "(aud)"),
        ({"aud": ["makima", "somebody"]}, "another client"),
        ({"aud": ["makima", "somebody"], "azp": "somebody"}, "another client"),
        ({"azp": "somebody"}, "another client"),
        ({"exp": 1}, "(exp)"),
        ({"exp": "soon"}, "exp"),
        ({"iat": int(time.time()) + 3600}, "iat"),
        ({"nbf": int(time.time()) + 3600}, "nbf"),
        ({"sub": ""}, "sub"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "x" * 300}, "sub"),
        ({"email_verified": False}, "hasn't verified"),
        ({"email_verified": 1.5}, "hasn't verified"),
        ({"email_verified": None}, "could be a name"),
        ({"email": ["ada@example.com"]}, "could be a name"),
        ({"email": "ada@example.com\r\nSet-Cookie: x=y"}, "could be a name"),
        ({"email": "x" * 255}, "could be a name"),
        ({"email": "\u202eada@example.com"}, "could be a name"),
        ({"email": " ada@example.com"}, "could be a name"),
    ],
)
def test_a_token_that_is_not_of_this_sign_in_is_not_believed(
    stage: ServiceHarness, odd: Odd, browser: Browser, claims: dict[str, Any], says: str
) -> None:
    stage.rows.member("ada@example.com")
    odd.claims = lambda told: {name: value for name, value in {**told, **claims}.items() if value is not None}
    assert browser.open(door(new_verifier())).at is not None
    assert says in refused(browser, browser.at.status_code)  # type: ignore[union-attr]
    assert browser.at.status_code in (403, 502)  # type: ignore[union-attr]
    assert nobody_came_in(stage)


def unsigned(token: str) -> str:
    """The same by the algorithm none."""
    header, body, _ = token.split(".")
    told = json.loads(decoded(header)) | {"alg": "none"}
    return f"{encoded(json.dumps(told).encode())}.{body}."


def by_secret(token: str, secret: bytes) -> str:
    """The same by HS256, with what anybody may know for a secret."""
    header, body, _ = token.split(".")
    asked = f"{encoded(json.dumps(json.loads(decoded(header)) | {'alg': 'HS256'}).encode())}.{body}"
    return f"{asked}.{encoded(hmac.digest(secret, asked.encode(), 'sha256'))}"


def test_a_token_that_the_provider_did_not_sign_is_not_believed(
    stage: ServiceHarness, odd: Odd, browser: Browser
) -> None:
    stage.rows.member("ada@example.com")
    other = RSAKey.generate_key(2048, {"kid": "first"})
    public = odd.key.as_pem(private=False)

    def claims(token: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(decoded(token.split(".")[1]))
        return found

    for forge in (
        unsigned,
        lambda token: signed(claims(token), other),
        lambda token: by_secret(token, public),
        lambda token: by_secret(token, b"makima"),
        lambda token: token[:-4] + "AAAA",
        lambda token: token.rpartition(".")[0],
        lambda _: "",
        lambda _: "é.é.é",
        lambda _: "a" * 200_000,
    ):
        odd.token = forge
        assert "not believed" in refused(browser.open(door(new_verifier())), 502)
    assert nobody_came_in(stage)


@pytest.mark.usefixtures("unknown")
def test_a_secret_among_the_keys_signs_nothing(stage: ServiceHarness, odd: Odd, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    odd.published = [
        {"kty": "oct", "k": "bWFraW1hbWFraW1hbWFraW1hbWFraW1hbWFraW1h", "kid": "first"},
        {"kty": "RSA"},
        {},
    ]
    assert "not believed" in refused(browser.open(door(new_verifier())), 502)
    assert nobody_came_in(stage)


@pytest.mark.usefixtures("unknown")
def test_a_provider_that_takes_new_keys_is_believed(stage: ServiceHarness, odd: Odd) -> None:
    stage.rows.member("ada@example.com")
    verifier = new_verifier()
    with Browser() as browser:
        signed_in(browser, verifier)
    asked = [path for path, _ in odd.asked].count("/jwks")
    odd.key = RSAKey.generate_key(2048, {"kid": "second", "use": "sig"})
    with Browser() as browser:
        browser.open(door(verifier))
        assert "Go on only" in browser.text or "not believed" in browser.text  # it asks again every 30 s at most
    restart(stage)
    with Browser() as browser:
        signed_in(browser, verifier)
    assert [path for path, _ in odd.asked].count("/jwks") == asked + 1


def test_what_speaks_of_another_subject_than_the_token_is_not_believed(
    stage: ServiceHarness, odd: Odd, browser: Browser
) -> None:
    stage.rows.member("ada@example.com")
    odd.in_userinfo, odd.says = {**odd.says, "sub": "subject-2"}, {}
    assert "two people" in refused(browser.open(door(new_verifier())), 502)
    assert nobody_came_in(stage)


@pytest.mark.parametrize(
    ("path", "answer", "says"),
    [
        ("/.well-known/openid-configuration", Answer(b"{", 200), "can't be read"),
        ("/.well-known/openid-configuration", Answer(b"[" * 100_000, 200), "can't be read"),
        ("/.well-known/openid-configuration", Answer(b"\xff\xfe", 200), "can't be read"),
        ("/.well-known/openid-configuration", Answer(b" " * (300 << 10), 200), "more than 256 KiB"),
        ("/.well-known/openid-configuration", Answer(b"", 500), "answers 500"),
        ("/.well-known/openid-configuration", Answer(b"", 302, {"Location": "http://127.0.0.1:1/"}), "isn't followed"),
        ("/.well-known/openid-configuration", Answer(b"{}", 200, {"Content-Encoding": "gzip"}), "packs"),
        ("/token", Answer(b"{}", 200), "can't be read"),
        ("/token", Answer(b"", 307, {"Location": "http://127.0.0.1:1/"}), "isn't followed"),
        ("/token", Answer({"error": "invalid_client"}, 401), "oidc_client_id"),
        ("/token", Answer({"error": "<script>\r\n"}, 400), "doesn't take its own code"),
        ("/token", Answer(b"<html>", 400), "answers 400"),
        ("/jwks", Answer(b"[]", 200), "not believed"),
        ("/jwks", Answer(b"", 404), "answers 404"),
    ],
)
@pytest.mark.usefixtures("unknown")
def test_a_provider_that_answers_badly_costs_one_line(
    stage: ServiceHarness, odd: Odd, browser: Browser, path: str, answer: Answer, says: str
) -> None:
    stage.rows.member("ada@example.com")
    odd.answers[path] = answer
    browser.open(door(new_verifier()))
    assert browser.at is not None
    assert says in refused(browser, browser.at.status_code)
    assert "<script" not in browser.at.text
    assert nobody_came_in(stage)
    assert httpx.get(f"{ADDRESS}/healthz").status_code == 200


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"token_endpoint": "http://example.com/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "http://user@127.0.0.1/"},
    ],
)
@pytest.mark.usefixtures("unknown")
def test_a_provider_that_leads_elsewhere_is_not_followed(odd: Odd, browser: Browser, described: dict[str, str]) -> None:
    odd.describes = lambda told: {**told, **described}
    refused(browser.open(door(new_verifier())), 503)


@pytest.mark.usefixtures("unknown")
def test_a_provider_that_is_away_costs_those_alone_who_sign_in(
    stage: ServiceHarness, odd: Odd, browser: Browser
) -> None:
    odd.leave()
    assert "doesn't answer" in refused(browser.open(door(new_verifier())), 503)
    answer = httpx.get(f"{ADDRESS}/signin/provider")
    assert answer.status_code == 503 and "doesn't answer" in answer.json()["detail"]
    token = (stage.settings.home / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{ADDRESS}/v1/directives", headers=headers).status_code == 200


# -- what somebody else tries with a browser --------------------------------------------------------------------------


def test_an_answer_to_another_sign_in_is_refused(stage: ServiceHarness, odd: Odd, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    for change in (
        lambda back: {**back, "state": "x" * 43},
        lambda back: {**back, "state": "é"},
        lambda back: {"code": back["code"], "iss": back["iss"]},
    ):
        odd.back = change
        assert "another sign-in" in refused(browser.open(door(new_verifier())), 400)
    assert nobody_came_in(stage)


def test_an_answer_of_another_provider_is_refused(stage: ServiceHarness, odd: Odd, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    for change in (
        lambda back: {**back, "iss": "https://evil.example.com"},
        lambda back: {"code": back["code"], "state": back["state"]},
    ):
        odd.back = change
        assert "not of the OpenID provider" in refused(browser.open(door(new_verifier())), 400)
    assert nobody_came_in(stage)
    assert "/token" not in [path for path, _ in odd.asked]


def test_a_browser_that_began_nothing_is_refused(stage: ServiceHarness, odd: Odd, browser: Browser) -> None:
    """Somebody has another's browser finish the sign-in that they began, or come with a cookie that they made."""
    stage.rows.member("ada@example.com")
    with httpx.Client() as theirs:
        to_provider = theirs.get(door(new_verifier())).headers["location"]
        back = theirs.get(to_provider).headers["location"]
    assert "began no sign-in here" in refused(browser.open(back), 400)
    cookie = theirs.cookies["makima-signin"]
    for forged in ("", "x", cookie[:-4] + "AAAA", cookie + "=", "A" * 10_000, cookie[1:]):
        answer = httpx.get(back, headers={"Cookie": f"makima-signin={forged}"})
        assert answer.status_code == 400 and "began no sign-in here" in answer.text
    assert nobody_came_in(stage)
    assert "/token" not in [path for path, _ in odd.asked]


def test_a_browser_that_comes_back_twice_is_let_in_once(stage: ServiceHarness) -> None:
    stage.rows.member("ada@example.com")
    with httpx.Client() as browser:
        back = browser.get(browser.get(door(new_verifier())).headers["location"]).headers["location"]
        assert "Go on only" in browser.get(back).text
        again = browser.get(back)
    assert again.status_code == 400 and "which is good once" in again.text


def test_a_form_counts_only_in_the_browser_that_was_shown_it(stage: ServiceHarness) -> None:
    stage.rows.member("ada@example.com")
    with Browser() as mine, Browser() as theirs:
        verifier = new_verifier()
        for browser in (mine, theirs):
            browser.open(door(verifier))
        assert mine.at is not None and theirs.at is not None
        form = re.search('name="known" value="([^"]*)"', theirs.at.text)
        assert form
        confirm = f"{ADDRESS}/signin/confirm"
        for told in ({"known": form[1]}, {"known": ""}, {"known": "é"}, {}):
            answer = mine.http.post(confirm, data={**told, "owner": "default"})
            assert answer.status_code == 400 and "not of this browser" in answer.text
        assert httpx.post(confirm, data={"known": form[1], "owner": "default"}).status_code == 400
        assert mine.http.post(confirm, content=b"x" * (64 << 10)).status_code == 413
        assert mine.http.get(confirm).status_code == 405
    assert stage.rows.all("person_token") == []


def test_a_code_is_worth_nothing_to_whoever_steals_it(stage: ServiceHarness, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    verifier = new_verifier()
    code = signed_in(browser, verifier)
    for stolen in (redeem(code, new_verifier()), redeem(code, challenge_of(verifier)), redeem(code + "A", verifier)):
        assert stolen.status_code == 409, stolen.text
    assert stage.rows.all("person_token") == []
    assert redeem(code, verifier).status_code == 200
    assert redeem(code, verifier).status_code == redeem(f"{code}\n", verifier).status_code == 409
    assert len(stage.rows.all("person_token")) == 1


def test_a_cookie_or_a_form_is_no_code(stage: ServiceHarness, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    verifier = new_verifier()
    browser.open(door(verifier))
    assert browser.at is not None
    form = re.search('name="known" value="([^"]*)"', browser.at.text)
    assert form
    for other in (form[1], browser.http.cookies["makima-signin"]):
        assert redeem(other, verifier).status_code == 409
        assert "not of this browser" in browser.http.post(f"{ADDRESS}/signin/confirm", data={"known": other[:0]}).text
    assert stage.rows.all("person_token") == []


def test_who_is_no_member_any_more_when_the_code_comes_gets_no_token(stage: ServiceHarness, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    verifier = new_verifier()
    code = signed_in(browser, verifier)
    stage.connection.execute("DELETE FROM makima.member")
    answer = redeem(code, verifier)
    assert answer.status_code == 409 and "no member of that owner any more" in answer.json()["detail"]


@pytest.mark.parametrize(
    "asked",
    [
        {"port": "80"},
        {"port": "99999"},
        {"port": "1999@evil.example.com"},
        {"port": "1999/"},
        {"port": "https://evil.example.com"},
        {"port": "-1999"},
        {"port": "\u0661\u0669\u0669\u0669"},
        {"challenge": "short"},
        {"challenge": "x" * 44},
        {"state": "x"},
        {"state": "x" * 65},
        {"state": "sssssssssssssssssssss&code=1"},
    ],
)
def test_an_address_that_no_command_line_opens_leads_nowhere(browser: Browser, asked: dict[str, str]) -> None:
    assert "is opened by `makima login`" in refused(browser.open(door(new_verifier(), **asked)), 400)


def test_a_browser_is_led_back_to_its_own_machine_and_nowhere_else(stage: ServiceHarness) -> None:
    stage.rows.member("ada@example.com")
    verifier = new_verifier()
    with httpx.Client() as browser:
        evil = {"redirect_uri": "https://evil.example.com", "host": "evil.example.com", "port": "1999"}
        first = browser.get(door(verifier, **evil))
        page = browser.get(browser.get(first.headers["location"]).headers["location"])
        assert "form-action 'self' http://127.0.0.1:1999;" in page.headers["content-security-policy"]
        form = re.search('name="known" value="([^"]*)"', page.text)
        assert form
        done = browser.post(f"{ADDRESS}/signin/confirm", data={"known": form[1], "owner": "default"})
    assert done.status_code == 303 and done.headers["location"].startswith(LOOPBACK)
    brought = dict(parse_qsl(urlsplit(done.headers["location"]).query))
    assert brought["state"] == STATE
    assert redeem(brought["code"], verifier).status_code == 200


def test_the_command_line_is_told_why_nobody_is_signed_in(odd: Odd) -> None:
    odd.back = lambda back: {
        "error": "access_denied\r\nSet-Cookie: a=b", "error_description": "<b>no</b>", "state": back["state"],
        "iss": back["iss"],
    }  # fmt: skip
    with httpx.Client() as browser:
        back = browser.get(browser.get(door(new_verifier(), port="1999")).headers["location"]).headers["location"]
        answer = browser.get(back)
    # characters that can't be shown are refused before anything looks at them
    assert answer.status_code == 400 and "set-cookie" not in answer.headers
    odd.back = lambda back: {"error": "access_denied", "error_description": "<b>no</b>", "state": back["state"],
                             "iss": back["iss"]}  # fmt: skip
    with httpx.Client() as browser:
        back = browser.get(browser.get(door(new_verifier(), port="1999")).headers["location"]).headers["location"]
        answer = browser.get(back)
    assert answer.status_code == 303 and answer.headers["location"].startswith(LOOPBACK)
    brought = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert brought["state"] == STATE and "access_denied, <b>no</b>" in brought["error"] and "code" not in brought


# -- pages ------------------------------------------------------------------------------------------------------------


def test_a_page_runs_nothing_and_shows_names_as_they_are(stage: ServiceHarness, odd: Odd, browser: Browser) -> None:
    name = '"><script>alert(1)</script>@example.com'
    odd.says = {"email": name, "email_verified": True}
    stage.rows.member(name)
    verifier = new_verifier()
    browser.open(door(verifier, machine='<img src=x onerror="1">'))
    assert browser.at is not None
    assert "<script" not in browser.at.text and "<img" not in browser.at.text
    assert name in browser.text and mark_of(challenge_of(verifier)) in browser.text
    headers = browser.at.headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'self';" in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "same-origin"
    assert headers["content-type"] == "text/html; charset=utf-8"


def test_an_owner_with_marks_in_its_name_is_shown_as_it_is() -> None:
    owner = OwnMembership(owner_id=new_id(), owner='"><script>', role=Role.VIEWER)
    page = pages.confirming("ada", "", "AAAA-BBBB", '"><script>', [owner]).decode()
    assert "<script" not in page


def test_the_cookie_is_for_the_gateway_alone() -> None:
    cookie = httpx.get(door(new_verifier())).headers["set-cookie"]
    assert re.fullmatch(r"makima-signin=[\w-]+; HttpOnly; Max-Age=600; Path=/; SameSite=lax", cookie), cookie


# -- many, and a gateway that dies ------------------------------------------------------------------------------------


def test_sign_ins_that_nobody_ends_leave_nothing_behind(stage: ServiceHarness, odd: Odd, browser: Browser) -> None:
    stage.rows.member("ada@example.com")
    with httpx.Client() as flood:
        for _ in range(300):
            assert flood.get(door(new_verifier(), machine="x" * 64, owner="y" * 200)).status_code == 303
    assert len(odd.asked) <= 1  # the provider is asked what it is, once
    signed_in(browser, new_verifier())


def test_a_sign_in_goes_on_when_the_gateway_has_been_started_again(stage: ServiceHarness) -> None:
    stage.rows.member("ada@example.com")
    verifier = new_verifier()
    with httpx.Client() as browser:
        to_provider = browser.get(door(verifier)).headers["location"]
        restart(stage)
        page = browser.get(browser.get(to_provider).headers["location"])
        restart(stage)
        form = re.search('name="known" value="([^"]*)"', page.text)
        assert form
        done = browser.post(f"{ADDRESS}/signin/confirm", data={"known": form[1], "owner": "default"})
    restart(stage)
    code = re.findall("<code>([^<]+)</code>", done.text)[-1]
    assert redeem(code, verifier).status_code == 200


@pytest.mark.parametrize("point", ["gateway.identify.before_commit", "gateway.identify.after_commit"])
def test_who_signs_in_while_the_gateway_dies_signs_in_again(stage: ServiceHarness, armed: Path, point: str) -> None:
    stage.rows.member("ada@example.com")
    failpoints.arm(armed, point, "kill")
    with Browser() as browser, pytest.raises(httpx.TransportError):
        browser.open(door(new_verifier()))
    assert failpoints.fired(armed, point)
    restart(stage)
    verifier = new_verifier()
    with Browser() as browser:
        assert redeem(signed_in(browser, verifier), verifier).status_code == 200


@pytest.mark.parametrize(("point", "tokens"), [("gateway.redeem.before_commit", 0), ("gateway.redeem.after_commit", 1)])
def test_a_code_whose_gateway_dies_gives_one_token_at_most(
    stage: ServiceHarness, browser: Browser, armed: Path, point: str, tokens: int
) -> None:
    stage.rows.member("ada@example.com")
    verifier = new_verifier()
    code = signed_in(browser, verifier)
    failpoints.arm(armed, point, "kill")
    with pytest.raises(httpx.TransportError):
        redeem(code, verifier)
    assert failpoints.fired(armed, point)
    restart(stage)
    assert len(stage.rows.all("person_token")) == tokens
    assert redeem(code, verifier).status_code == (409 if tokens else 200)
    assert len(stage.rows.all("person_token")) == 1
