"""An OpenID provider that a test holds in its hands: it does as the protocol says, but for what the test changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.provider import CLIENT

Json = dict[str, Any]


@dataclass
class Answer:
    """What it answers."""

    body: bytes | Json = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def same(value: Any) -> Any:
    """Nothing is changed."""
    return value


@dataclass
class Odd:
    """What the provider does otherwise than a right one; its person, and what it was asked."""

    issuer: str
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "first", "use": "sig"}))
    published: list[Any] | None = None
    """Its keys as it tells them, where they aren't that which it signs by."""
    says: Json = field(default_factory=dict)
    """Claims of whoever signs in."""
    in_userinfo: Json | None = None
    """What `/me` says, where that is asked."""
    claims: Callable[[Json], Json] = same
    token: Callable[[str], str] = same
    back: Callable[[Json], Json] = same
    """What it sends the browser back with."""
    describes: Callable[[Json], Json] = same
    answers: dict[str, Answer | Callable[[], Answer]] = field(default_factory=dict)
    """What it answers at a path, whatever is asked."""
    asked: list[tuple[str, Json]] = field(default_factory=list)
    codes: dict[str, Json] = field(default_factory=dict)
    leave: Callable[[], None] = lambda: None
    """Listen no more."""

    def description(self) -> Json:
        """What it says of itself."""
        at = self.issuer
        return self.describes(
            {
                "issuer": at,
                "authorization_endpoint": f"{at}/auth",
                "token_endpoint": f"{at}/token",
                "jwks_uri": f"{at}/jwks",
                "userinfo_endpoint": f"{at}/me",
                "authorization_response_iss_parameter_supported": True,
            }
        )

    def auth(self, asked: Json) -> Answer:
        """Somebody signs in, without being asked anything."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        back = self.back({"code": code, "state": asked["state"], "iss": self.issuer})
        return Answer(status=303, headers={"Location": f"{asked['redirect_uri']}?{urlencode(back)}"})

    def exchange(self, form: Json) -> Answer:
        """A code is redeemed, once, by whoever has its verifier."""
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode()
        if asked is None or asked["code_challenge"] != challenge.rstrip("="):
            return Answer({"error": "invalid_grant", "error_description": "no such code"}, 400)
        return Answer({"id_token": self.id_token(asked["nonce"]), "access_token": "access", "token_type": "Bearer"})

    def id_token(self, nonce: str) -> str:
        """What it says of who signed in."""
        now = int(time.time())
        says = {"iss": self.issuer, "sub": "subject-1", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        return self.token(signed(self.claims({**says, **self.says}), self.key))

    def keys(self) -> Json:
        """Its public keys."""
        told = [self.key] if self.published is None else self.published
        return {"keys": [key.as_dict(private=False) if isinstance(key, RSAKey) else key for key in told]}

    def answer(self, path: str, asked: Json) -> Answer:
        """What it answers."""
        self.asked.append((path, asked))
        if (told := self.answers.get(path)) is not None:
            return told() if callable(told) else told
        match path:
            case "/.well-known/openid-configuration":
                return Answer(self.description())
            case "/jwks":
                return Answer(self.keys())
            case "/auth":
                return self.auth(asked)
            case "/token":
                return self.exchange(asked)
            case "/me":
                return Answer({"sub": "subject-1", **(self.in_userinfo or {})})
        return Answer(status=404)


def signed(claims: Json, key: RSAKey) -> str:
    """A token."""
    return jwt.encode({"alg": "RS256", "kid": key.kid or ""}, claims, key)


@contextlib.contextmanager
def odd_provider(port: int) -> Iterator[Odd]:
    """One, until the test is over."""
    odd = Odd(f"http://127.0.0.1:{port}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(dict(parse_qsl(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(dict(parse_qsl(text)))

        def _answer(self, asked: Json) -> None:
            if (given := self.headers.get("Authorization", "")).startswith("Basic "):
                asked = {**asked, "basic": b64decode(given[6:]).decode()}
            told = odd.answer(urlsplit(self.path).path, asked)
            body = json.dumps(told.body).encode() if isinstance(told.body, dict) else told.body
            self.send_response(told.status)
            for name, value in {"Content-Length": str(len(body)), **told.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def leave() -> None:
            server.shutdown()
            server.server_close()

        odd.leave = leave
        yield odd
        leave()
