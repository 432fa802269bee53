"""Who a person that signed in is here. A name counts the first time only; from then on the provider's subject does."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from uuid import UUID

from services.gateway.rows.signin import BIND_PERSON, IS_TAKEN, KNOWN_PERSON, MEMBERSHIPS, KnownPerson, OwnMembership
from services.gateway.signin.provider import Person, shown
from services.gateway.signin.troubles import Refused
from shared.store.database import Database, UnitOfWork


async def known(database: Database, person: Person) -> KnownPerson:
    """The person, bound to the provider's subject when this is their first sign-in. Raises Refused."""
    async with database.unit_of_work("gateway.identify") as unit:
        return await _find(unit, person) or await _bind(unit, person)


async def memberships(database: Database, person: UUID, wanted: str | None) -> Sequence[OwnMembership]:
    """The owners that they may choose from: the wanted one, or all of theirs. Raises Refused for none."""
    own = await database.fetch(MEMBERSHIPS(person=person))
    found = [one for one in own if wanted in (None, one.owner)]
    if not found and wanted is not None:
        raise Refused(f"you are no member of an owner {shown(wanted)}")
    if not found:
        raise Refused("you are no member of any owner here any more; ask an admin to add you")
    return found


async def _find(unit: UnitOfWork, person: Person) -> KnownPerson | None:
    return await unit.fetch_first(KNOWN_PERSON(issuer=person.issuer, subject=person.subject))


async def _bind(unit: UnitOfWork, person: Person) -> KnownPerson:
    told = {"issuer": person.issuer, "subject": person.subject, "name": person.name}
    bound = await unit.fetch_first(BIND_PERSON(**told))
    if bound := bound or await _find(unit, person):  # the same person's other sign-in was first
        return bound
    if await unit.fetch(IS_TAKEN(name=person.name)):
        raise Refused(
            f"{person.name} is the name of another account here, which signed in by it first; who is removed from "
            "every owner and added again can sign in anew"
        )
    raise Refused(
        f"{person.name} is no member of any owner here; an admin adds you: makima member add {shlex.quote(person.name)}"
    )
