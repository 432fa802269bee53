"""What binds a sign-in in a browser to the command line that began it (as RFC 7636 does).

The command line keeps a verifier and tells the gateway the challenge, its hash. What the browser brings back is worth
something only to whoever has the verifier.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re

CHALLENGE = re.compile("[A-Za-z0-9_-]{43}", re.ASCII)


def new_verifier() -> str:
    """A verifier: 32 random bytes."""
    return encoded(os.urandom(32))


def challenge_of(verifier: str) -> str:
    """What may be told of a verifier.

    >>> challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return encoded(hashlib.sha256(verifier.encode()).digest())


def mark_of(challenge: str) -> str:
    """A few letters of a challenge, by which a person sees that a browser signs in the command line in front of them.

    >>> mark_of("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    'DFBF-INOP'
    """
    letters = base64.b32encode(hashlib.sha256(f"mark {challenge}".encode()).digest()).decode()
    return f"{letters[:4]}-{letters[4:8]}"


def encoded(octets: bytes) -> str:
    """Bytes in letters that an address can hold."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The same back; no two texts are the same bytes. Raises ValueError."""
    octets = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if encoded(octets) != text:
        raise ValueError("not as it is written")
    return octets
