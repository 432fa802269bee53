"""The OpenID provider: where it lets people sign in, and what it says of who did."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote_plus, urlencode

import msgspec
import structlog

from services.gateway.signin.asking import Answer, Asking
from services.gateway.signin.troubles import AGAIN, ProviderTrouble, Refused
from shared.config.sign_in import is_safe
from shared.domain.challenges import challenge_of

if TYPE_CHECKING:
    from services.gateway.signin.id_tokens import Claims, SigningKey

log = structlog.get_logger()
KEPT_SECONDS = 3600.0
"""How long what the provider says of itself is good."""
KEYS_SECONDS = 30.0
"""Its keys are asked for again, for a token by an unknown one, at most so often."""
TROUBLE_SECONDS = 5.0
"""Whoever comes so soon after it couldn't be used is told that, and doesn't wait for it again."""
LONGEST_NAME = 254
SCOPES = {"email": "openid email", "preferred_username": "openid profile"}
_UNSHOWN = re.compile(r"[^\x20-\x7e]+")
T = TypeVar("T")


class Client(NamedTuple):
    """What this cluster is to the provider."""

    issuer: str
    id: str
    secret: str | None
    redirect: str
    """Where the provider sends browsers back to."""
    claim: Literal["email", "preferred_username"]


class Person(NamedTuple):
    """Who signed in: `subject` is theirs for ever at this issuer, `name` may be another's tomorrow."""

    issuer: str
    subject: str
    name: str


class _Described(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says of itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Tokens(msgspec.Struct, frozen=True, kw_only=True):
    id_token: str
    access_token: str = ""


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    error: str = ""
    error_description: str = ""


class Provider:
    """One OpenID provider. What it says of itself and its keys is kept for a while."""

    def __init__(self, client: Client, asking: Asking) -> None:
        self.client = client
        self._asking = asking
        self._described: tuple[float, _Described] | None = None
        self._keys: tuple[float, list[SigningKey]] | None = None
        self._trouble: tuple[float, ProviderTrouble] | None = None
        self._one = asyncio.Lock()

    async def described(self) -> _Described:
        """What it says of itself. Raises Refused, for a moment without asking again what didn't answer."""
        async with self._one:
            if self._described is None or _is_over(self._described[0], KEPT_SECONDS):
                if self._trouble is not None and not _is_over(self._trouble[0], TROUBLE_SECONDS):
                    raise self._trouble[1]
                try:
                    self._described = time.monotonic(), await self._describe()
                except ProviderTrouble as error:
                    self._trouble = time.monotonic(), error
                    log.warning("the OpenID provider can't be used", issuer=self.client.issuer, reason=str(error))
                    raise
            return self._described[1]

    async def door(self, state: str, nonce: str, verifier: str) -> str:
        """Where a browser is sent to sign in. Raises ProviderTrouble."""
        described = await self.described()
        asked = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.client.redirect,
            "scope": SCOPES[self.client.claim],
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in described.authorization_endpoint else "?"
        return f"{described.authorization_endpoint}{joint}{urlencode(asked)}"

    async def refuse_another(self, issuer: str | None) -> None:
        """Raise Refused for an answer of another provider's (RFC 9207)."""
        described = await self.described()
        told = issuer is not None or described.authorization_response_iss_parameter_supported
        if told and issuer != self.client.issuer:
            raise Refused(f"the answer is not of the OpenID provider {self.client.issuer}; {AGAIN}", 400)

    async def person(self, code: str, nonce: str, verifier: str) -> Person:
        """Who a code of the provider's is for. Raises Refused."""
        described = await self.described()
        tokens = await self._tokens(described, code, verifier)
        claims = await self._claims(described, tokens.id_token, nonce)
        wanted = {self.client.claim, *(("email_verified",) if self.client.claim == "email" else ())}
        if not wanted <= claims.keys() and described.userinfo_endpoint and tokens.access_token:
            claims = await self._more(described.userinfo_endpoint, tokens.access_token, claims["sub"])
        return Person(self.client.issuer, claims["sub"], _name(claims, self.client.claim))

    async def _describe(self) -> _Described:
        issuer = self.client.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        described = _read(await self._asking.get(url), _Described, "describes itself")
        if described.issuer != issuer:
            raise ProviderTrouble(
                f"oidc_issuer is {issuer}, and the OpenID provider there is {shown(described.issuer)}"
            )
        places = (described.authorization_endpoint, described.token_endpoint, described.jwks_uri)
        for url in (*places, *((described.userinfo_endpoint,) if described.userinfo_endpoint else ())):
            if not is_safe(url) or (issuer.startswith("https:") and not url.startswith("https:")):
                raise ProviderTrouble(f"the OpenID provider names {shown(url)}, which isn't safe to send secrets to")
        return described

    async def _tokens(self, described: _Described, code: str, verifier: str) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect,
            "code_verifier": verifier,
        }
        auth = None
        methods = described.token_endpoint_auth_methods_supported
        if self.client.secret is None:
            form["client_id"] = self.client.id
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            auth = quote_plus(self.client.id), quote_plus(self.client.secret)  # RFC 6749, 2.3.1
        else:
            form |= {"client_id": self.client.id, "client_secret": self.client.secret}
        answer = await self._asking.post(described.token_endpoint, form, auth)
        if answer.status in (400, 401):
            raise _not_taken(answer)
        return _read(answer, _Tokens, "answers with a token")

    async def _claims(self, described: _Described, token: str, nonce: str) -> Claims:
        """The claims of an ID token, by keys asked for anew when none of those known has signed it."""
        from services.gateway.signin.id_tokens import BadToken, UnknownKey, verified

        try:
            keys = await self._signing_keys(described, KEPT_SECONDS)
            try:
                return verified(token, keys, self.client.issuer, self.client.id, nonce)
            except UnknownKey:
                keys = await self._signing_keys(described, KEYS_SECONDS)
                return verified(token, keys, self.client.issuer, self.client.id, nonce)
        except BadToken as error:
            log.warning("an ID token is not believed", issuer=self.client.issuer, reason=str(error))
            raise Refused(f"what the OpenID provider says of you is not believed: {shown(str(error))}", 502) from None

    async def _signing_keys(self, described: _Described, kept_seconds: float) -> list[SigningKey]:
        from services.gateway.signin.id_tokens import read_keys

        async with self._one:
            if self._keys is None or _is_over(self._keys[0], kept_seconds):
                answer = await self._asking.get(described.jwks_uri)
                if answer.status != 200:
                    raise ProviderTrouble(f"the OpenID provider answers {answer.status} when asked for its keys")
                self._keys = time.monotonic(), await asyncio.to_thread(read_keys, answer.body)
            return self._keys[1]

    async def _more(self, url: str, token: str, subject: str) -> Claims:
        """What the provider says of the same person where the ID token says less. Raises Refused."""
        claims = _read(await self._asking.get(url, token), dict[str, Any], "says who signed in")
        if claims.get("sub") != subject:
            raise Refused("the OpenID provider speaks of two people in one sign-in; nobody is signed in", 502)
        return claims


def _is_over(since: float, seconds: float) -> bool:
    return since + seconds < time.monotonic()


def shown(text: str) -> str:
    """What somebody else said, as a line may show it."""
    return _UNSHOWN.sub(" ", text)[:200]


def declined(error: str, description: str | None) -> Refused:
    """That the provider sent the browser back without letting the person in."""
    return Refused(f"the OpenID provider let nobody in: {_said((error, description or ''))}; {AGAIN}")


def _not_taken(answer: Answer) -> Refused:
    """That the provider doesn't take a code, or this cluster itself."""
    try:
        problem = msgspec.json.decode(answer.body, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        problem = _Problem(error=f"it answers {answer.status}")
    said = _said((problem.error, problem.error_description))
    if problem.error in ("invalid_client", "unauthorized_client"):
        log.error("the OpenID provider doesn't know this cluster", said=said)
        return ProviderTrouble(
            f"the OpenID provider doesn't know this cluster by oidc_client_id and its secret ({said})"
        )
    return Refused(f"the OpenID provider doesn't take its own code, which is good once ({said}); {AGAIN}", 400)


def _said(words: Iterable[str]) -> str:
    return ", ".join(shown(one) for one in words if one)


def _read(answer: Answer, shape: type[T], does: str) -> T:
    if answer.status != 200:
        moved = ", which leads elsewhere and isn't followed," if 300 <= answer.status < 400 else ""
        raise ProviderTrouble(f"the OpenID provider answers {answer.status}{moved} where it {does}")
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderTrouble(
            f"what the OpenID provider answers where it {does} can't be read: {shown(str(error))}"
        ) from None


def _name(claims: Claims, claim: str) -> str:
    """Who the person is here. Raises Refused."""
    name = claims.get(claim)
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= LONGEST_NAME
        or not name.isprintable()
        or name != name.strip()
    ):
        raise Refused(
            f"the OpenID provider says nobody's {claim} that could be a name here; the setting oidc_claim says which "
            "claim is the name"
        )
    if claim == "email" and claims.get("email_verified") not in (True, "true"):
        raise Refused(f"the OpenID provider hasn't verified the address {shown(name)}; verify it there, then {AGAIN}")
    return name
