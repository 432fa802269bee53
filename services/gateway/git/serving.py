"""Whose git asks for what, and whether it may; nobody's is answered more often at once than it needs.

https://git-scm.com/docs/gitprotocol-http
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from uuid import UUID

import structlog
from litestar.types import Receive, Scope, Send

from services.gateway.git import process
from services.gateway.git.exchange import Answer, Body, Gone, Refused
from services.gateway.git.process import GitFailed
from services.gateway.git.pushes import Malformed
from services.gateway.git.repository import Repository
from services.gateway.git.rights import rights_of
from services.gateway.http.edge import GIT
from services.gateway.rows.git import GIT_TASK, GitTask
from shared.service.tokens import read_git_token
from shared.store.database import UNAVAILABLE, Database

log = structlog.get_logger()

MAX_AT_ONCE = 32
MAX_OF_ONE_TASK = 4
"""Requests that are answered at once; a task's git makes one after another, and few of them."""
_ROUTE = re.compile(rf"{GIT}(?P<directive>[0-9a-f]{{32}})/(?P<what>info/refs|git-upload-pack|git-receive-pack)")
_METHODS = {"info/refs": "GET", "git-upload-pack": "POST", "git-receive-pack": "POST"}
_VERSION = re.compile(rb"version=[12]")


class Git:
    """An ASGI application (https://asgi.readthedocs.io)."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._secret = secret
        self._answering: Counter[UUID] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Whatever goes wrong is one line, which git shows."""
        answer = Answer(send)
        try:
            await self._answer(scope, Body(receive, _header(scope, b"content-encoding")), answer)
        except Refused as error:
            await answer.refuse(error.status, str(error))
        except Malformed as error:
            await answer.refuse(HTTPStatus.BAD_REQUEST, f"the push can't be read: {error}")
        except TimeoutError:
            await answer.refuse(HTTPStatus.REQUEST_TIMEOUT, f"nothing has moved for {process.SILENT_SECONDS:g} s")
        except (GitFailed, OSError) as error:
            await answer.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"git on the cluster's machine: {error}")
        except UNAVAILABLE as error:
            await answer.refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"the database can't be reached: {error}")
        except Gone:
            log.debug("git has gone", path=scope["path"])

    async def _answer(self, scope: Scope, body: Body, answer: Answer) -> None:
        if scope["client"] is not None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no git over TCP: daemons reach it over the link")
        route = _ROUTE.fullmatch(scope["path"])
        if route is None or scope.get("method") != _METHODS[route["what"]]:
            raise Refused(HTTPStatus.NOT_FOUND, "git fetches and pushes here, and nothing else")
        directive, what = UUID(route["directive"]), route["what"]
        token = _header(scope, b"authorization").removeprefix(b"Bearer ").decode("latin-1")
        task, attempt = await self._task(token)
        if task.directive_id != directive:
            raise Refused(HTTPStatus.FORBIDDEN, "a task reaches the repository of its own directive only")
        with self._place(task.id):
            version = _header(scope, b"git-protocol")
            repository = await Repository.of(task, version.decode() if _VERSION.fullmatch(version) else None)
            if what == "info/refs":
                await repository.advertise(scope["query_string"], body, answer)
            elif what == "git-upload-pack":
                await repository.fetch(body, answer)
            else:
                await repository.push(rights_of(task, attempt), body, answer, lambda: self._task(token))

    async def _task(self, token: str) -> tuple[GitTask, int]:
        """The task that a token is for, and which attempt. Raises Refused, once that has ended, too."""
        read = read_git_token(self._secret, token)
        if read is None:
            raise Refused(HTTPStatus.FORBIDDEN, "that is no token of a task's git")
        for found in await self._database.fetch(GIT_TASK(task=read[0], attempt=read[1])):
            return found, read[1]
        raise Refused(HTTPStatus.FORBIDDEN, "the token's attempt has ended")

    @contextmanager
    def _place(self, task: UUID) -> Iterator[None]:
        if self._answering[task] >= MAX_OF_ONE_TASK or self._answering.total() >= MAX_AT_ONCE:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many fetch and push at once; try again")
        self._answering[task] += 1
        try:
            yield
        finally:
            self._answering[task] -= 1
            self._answering += Counter()  # those at none leave it


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")
