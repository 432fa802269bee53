"""A sign-in from its beginning in a browser to the code that a command line redeems."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from services.gateway.rows.signin import KnownPerson
from services.gateway.signin.asking import Asking
from services.gateway.signin.membership import known
from services.gateway.signin.provider import Client, Provider, declined
from services.gateway.signin.sealing import SECONDS, Known, Seal, Started, new_id
from services.gateway.signin.troubles import AGAIN, Refused
from shared.config import Settings
from shared.config.sign_in import client_secret
from shared.store.database import Database

CALLBACK = "/signin/callback"


class Wish(NamedTuple):
    """What a command line asks for by the address that it opens."""

    challenge: str
    port: int | None
    state: str
    owner: str | None
    machine: str


class SignIn:
    """Sign-in at the OpenID provider of the settings."""

    def __init__(self, provider: Provider, seal: Seal, origin: str, token_seconds: float) -> None:
        self.provider = provider
        self.seal = seal
        self.origin = origin
        self.secure = origin.startswith("https:")
        self.token_seconds = token_seconds
        self.cookie = "__Host-makima-signin" if self.secure else "makima-signin"

    async def begin(self, wish: Wish) -> tuple[str, str]:
        """Where the browser goes to sign in, and the cookie that it comes back with. Raises Refused."""
        started = Started(id=new_id(), until=self.seal.until(SECONDS), **wish._asdict())
        told = self.seal.told
        door = await self.provider.door(told("state", started), told("nonce", started), told("verifier", started))
        return door, self.seal.sealed(started)

    def started(self, cookie: str | None) -> Started:
        """The sign-in of a browser. Raises Refused."""
        if (started := self.seal.opened(cookie or "", Started)) is None:
            raise Refused(f"this browser began no sign-in here, or ten minutes ago and more; {AGAIN}", 400)
        return started

    def returned(self, cookie: str | None, state: str) -> Started:
        """The sign-in that a browser comes back with. Raises Refused for an answer to another one."""
        started = self.started(cookie)
        if not hmac.compare_digest(self.seal.told("state", started).encode(), state.encode()):
            raise Refused(f"this answers another sign-in than this browser's last; {AGAIN}", 400)
        return started

    async def person(self, database: Database, started: Started, back: Mapping[str, str]) -> KnownPerson:
        """Who has signed in, by what the provider sent the browser back with. Raises Refused."""
        await self.provider.refuse_another(back.get("iss"))
        if "error" in back or "code" not in back:
            raise declined(back.get("error", "it gives no code"), back.get("error_description"))
        told = self.seal.told
        person = await self.provider.person(back["code"], told("nonce", started), told("verifier", started))
        return await known(database, person)

    def known(self, started: Started, person: KnownPerson) -> str:
        """Who it is, as the page's form carries it."""
        return self.seal.sealed(Known(id=started.id, person=person.id, until=started.until))

    def confirmed(self, started: Started, form: str) -> Known:
        """Who confirms, by the form of the page that this same browser was shown. Raises Refused."""
        found = self.seal.opened(form, Known)
        if found is None or not hmac.compare_digest(found.id, started.id):
            raise Refused(f"the form is not of this browser's sign-in; {AGAIN}", 400)
        return found


def leading_back(started: Started, **told: str) -> str | None:
    """Where the command line listens, on the person's own machine and nowhere else; None where it doesn't."""
    if started.port is None:
        return None
    return f"http://127.0.0.1:{started.port}/?{urlencode({**told, 'state': started.state})}"


def sign_in(settings: Settings, secret: bytes) -> SignIn | None:
    """Sign-in as the settings have it; None without a provider. Raises ConfigError."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None or settings.public_url is None:
        return None
    origin = settings.public_url.rstrip("/")
    client = Client(
        issuer=settings.oidc_issuer,
        id=settings.oidc_client_id,
        secret=client_secret(settings.oidc_client_secret_file) if settings.oidc_client_secret_file else None,
        redirect=origin + CALLBACK,
        claim=settings.oidc_claim,
    )
    return SignIn(Provider(client, Asking()), Seal(secret), origin, settings.sign_in_days * 86_400)
