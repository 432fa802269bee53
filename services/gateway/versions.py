"""Versions as HTTP tells them (RFC 9110): a directive's version is its ETag, and If-Match asks for it."""

from __future__ import annotations

import msgspec
from litestar.datastructures import ResponseHeader

from services.gateway.http.problems import PreconditionFailed
from services.gateway.rows.directives import LockedDirective
from shared.api.directives import DirectiveShown

ETAG = ResponseHeader(
    name="ETag", documentation_only=True, description='The directive\'s version, for If-Match: `"7"`.'
)
LOCATION = ResponseHeader(name="Location", documentation_only=True, description="Where what was made is found.")


def etag(answered: msgspec.Struct) -> dict[str, str]:
    """The header that tells a directive's version."""
    return {"ETag": f'"{answered.version}"'} if isinstance(answered, DirectiveShown) else {}


def refuse_unmatched(if_match: str | None, locked: LockedDirective) -> None:
    """Raise PreconditionFailed when a directive is at another version, or If-Match names none."""
    if if_match is None or if_match.strip() == "*":
        return
    if f'"{locked.version}"' not in [tag.strip() for tag in if_match.split(",")]:
        raise PreconditionFailed(f"directive {locked.id}", if_match, locked.version)
