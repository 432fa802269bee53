"""What a step or a delivery changed, where the repository is on this machine."""

from __future__ import annotations

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from services.gateway.access import VIEWER, Caller
from services.gateway.git.differences import difference, since_first
from services.gateway.http.problems import NotAsThingsStand
from services.gateway.rows.differences import DELIVERED_BRANCH, STEP_COMMITS
from shared.api.differences import Difference
from shared.store.database import Database


@get(
    "/v1/directives/{directive:uuid}/steps/{step:uuid}/diff",
    operation_id="diffStep",
    opt=VIEWER,
    tags=["steps"],
    raises=[NotAsThingsStand],
)
async def diff_step(
    directive: FromPath[UUID],
    step: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
) -> Difference:
    """What a step's commits changed. 409 where its repository has an address of its own, whose forge shows it."""
    found = await database.fetch_first(STEP_COMMITS(owner=caller.owner, directive=directive, step=step))
    if found is None:
        raise NotFoundException(f"no step {step} in directive {directive}")
    if not found.commits:
        return Difference(text="", is_whole=True)
    return await since_first(found.repository_url, found.commits[0].sha, found.commits[-1].sha)


@get(
    "/v1/directives/{directive:uuid}/diff",
    operation_id="diffDelivery",
    opt=VIEWER,
    tags=["directives"],
    raises=[NotAsThingsStand],
)
async def diff_delivery(
    directive: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> Difference:
    """What a directive's delivery changes of the branch that it is merged into. 409 where nothing is delivered."""
    found = await database.fetch_first(DELIVERED_BRANCH(owner=caller.owner, directive=directive))
    if found is None:
        raise NotFoundException(f"no directive {directive}")
    if found.pr_branch is None:
        raise NotAsThingsStand("nothing is delivered yet")
    base = f"refs/heads/{found.base_branch}" if found.base_branch else "HEAD"
    return await difference(found.repository_url, f"{base}...refs/heads/{found.pr_branch}")


ROUTES = (diff_step, diff_delivery)
