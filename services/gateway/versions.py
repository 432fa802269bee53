"""Versions as HTTP tells them (RFC 9110): a directive's version is its ETag, and If-Match asks for it."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from litestar.datastructures import ResponseHeader
from litestar.exceptions import ClientException

from services.gateway.http.problems import PreconditionFailed
from services.gateway.rows.directives import LockedDirective
from shared.api.directives import DirectiveShown

ETAG = ResponseHeader(
    name="ETag", documentation_only=True, description='The directive\'s version, for If-Match: `"7"`.'
)
LOCATION = ResponseHeader(name="Location", documentation_only=True, description="Where what was made is found.")
_TAG: Final = re.compile(r'(W/)?"([!#-~]*)"')


def etag(answered: msgspec.Struct) -> dict[str, str]:
    """The header that tells a directive's version."""
    return {"ETag": f'"{answered.version}"'} if isinstance(answered, DirectiveShown) else {}


def refuse_unmatched(if_match: str | None, locked: LockedDirective) -> None:
    """Raise PreconditionFailed when a directive is at another version, ClientException when If-Match can't be read."""
    if if_match is None or if_match.strip() == "*":
        return
    tags = [part.strip() for part in if_match.split(",")]
    found = [_TAG.fullmatch(tag) for tag in tags]
    if not all(found):
        raise ClientException(f'If-Match is an ETag as it was answered, e.g. "7", or *; not {if_match[:40]}')
    if not any(one and not one[1] and one[2] == str(locked.version) for one in found):
        raise PreconditionFailed(f"directive {locked.id}", if_match, locked.version)
