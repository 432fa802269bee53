"""What an OpenID provider says of a person, looked at before it is believed (OpenID Connect Core 1.0, 3.1.3.7)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""All by a key that only the provider has: neither `none`, nor a secret that this side has, too."""
LEEWAY_SECONDS = 60
"""How far the provider's clock may be from ours."""
MAX_KEYS = 64
LONGEST_HEADER = 16 << 10
_BROKEN = (JoseError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What reading and verifying raise on what is none."""

SigningKey = RSAKey | ECKey | OKPKey
Claims = dict[str, Any]


class BadToken(Exception):
    """Why an ID token isn't believed."""


class UnknownKey(BadToken):
    """None of the keys can have signed it: the provider may have others by now."""


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


def read_keys(text: bytes) -> list[SigningKey]:
    """The provider's keys that can sign; what can't be read is left out. Raises BadToken when it is no set of keys."""
    try:
        told = msgspec.json.decode(text, type=_KeySet).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadToken(f"its keys can't be read: {error}") from None
    return list(_readable(told[:MAX_KEYS]))


def _readable(told: Sequence[dict[str, Any]]) -> Iterator[SigningKey]:
    for one in told:
        if one.get("use", "sig") != "sig":
            continue
        try:
            key = JWKRegistry.import_key(one)
        except _BROKEN:
            continue
        if isinstance(key, SigningKey):
            yield key


def verified(
    token: str, keys: Sequence[SigningKey], issuer: str, client: str, nonce: str, now: float | None = None
) -> Claims:
    """The claims of an ID token that the issuer made for this client in this sign-in. Raises BadToken."""
    claims = _signed(token, keys)
    wanted = jwt.JWTClaimsRegistry(
        now=int(time.time() if now is None else now),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        sub={"essential": True},
        aud={"essential": True, "value": client},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        wanted.validate(claims)
    except JoseError as error:
        raise BadToken(_why(error)) from None
    _refuse_for_another(claims, client)
    return claims


def _refuse_for_another(claims: Claims, client: str) -> None:
    """Raise BadToken for one that was given to another client, whoever else it is meant for."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else client) != client:
        raise BadToken("it was made for another client (azp)")
    if not 1 <= len(claims["sub"]) <= 255 or not claims["sub"].isprintable():
        raise BadToken("it names nobody (sub)")


def _signed(token: str, keys: Sequence[SigningKey]) -> Claims:
    """The claims of a token that one of the keys has signed. Raises BadToken."""
    try:
        header = jws.extract_compact(token.encode("ascii")).headers()
    except _BROKEN:
        raise BadToken("it is no signed token") from None
    if (algorithm := header.get("alg")) not in ALGORITHMS:
        raise BadToken(f"it is signed by {str(algorithm)[:20]!r}, which proves nothing here")
    named = header.get("kid")
    for key in keys:
        if named is None or key.kid == named:
            try:
                return jwt.decode(token, key, registry=_registry()).claims
            except _BROKEN:
                continue
    raise UnknownKey("none of the provider's keys has signed it")


def _registry() -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)  # a header may hold more (RFC 7515)
    registry.max_header_length = LONGEST_HEADER
    return registry


def _why(error: JoseError) -> str:
    claim = getattr(error, "claim", None)
    return f"{error.description or error.error}" + (f" ({claim})" if claim else "")
