"""Whoever wants to be a daemon of this cluster: by an invitation, by asking, or with another key than it has.

Of a Join, whom it is from is the broker's word, by the key of the connection; all else in it may be anything. The key
that is to be accepted is stored before it is answered, and the same Join is answered the same again.
"""

from __future__ import annotations

from services.gateway.link.admitted import AdmittedFile
from services.gateway.link.enrolling import Enrolling, Refused, is_public_key, refuse_bad_name
from services.gateway.rows.daemon_keys import (
    ACCEPT_KEY,
    ADD_KEY,
    COUNT_ASKING,
    KEY,
    KEY_EXISTS,
    KEYS_NAMED,
    OWNER_OF_KEY,
    REPLACE_KEYS,
    USE_INVITATION,
    DaemonKey,
)
from services.gateway.rows.people import OWNER_NAMED, Named
from shared.bus.link import fingerprint
from shared.config import Settings
from shared.domain.statuses import KeyStatus
from shared.messages.identities import daemon_of
from shared.messages.link import Join, Joined, NotJoined
from shared.store.database import Database, UnitOfWork

MAX_ASKING = 20
"""Keys that wait at once for a person to accept them."""
ASKING_SECONDS = 24 * 3600.0
USED_SECONDS = 120.0
"""How long an invitation that was used still connects: whoever used it may not have heard that it has joined."""
REPLACED_SECONDS = 600.0
"""How long a daemon's key still connects after the daemon took another: it may not have heard that it can."""
MAX_OF_ONE_DAEMON = 3
"""Keys that a daemon may connect with at once."""


class _NotYet(Exception):
    """Why a key isn't a daemon's yet."""


class Joining:
    """Answers Joins. Each is one transaction, after which the file of admitted keys is written."""

    def __init__(self, database: Database, settings: Settings, admitted: AdmittedFile) -> None:
        self._database = database
        self._settings = settings
        self._admitted = admitted

    async def answer(self, who: str, join: Join) -> Joined | NotJoined:
        """The answer to a Join of whom the broker knows as `daemon:IDENTITY`, `invitation:KEY` or `asking:KEY`.

        Raises OSError when the file of admitted keys can't be written: then nobody is told that they have joined.
        """
        try:
            async with self._database.unit_of_work("gateway.join") as unit:
                owner = await self._owner_of(unit, who)
                enrolling = Enrolling(unit, owner.id, owner.name)
                key = await self._enrolled(enrolling, who, join)
        except (Refused, _NotYet) as error:
            return NotJoined(key=join.key, reason=str(error), waits=isinstance(error, _NotYet))
        if key.status is KeyStatus.ASKING:
            said = f"a person has to accept {fingerprint(join.key)}: `makima daemon accept {fingerprint(join.key)}`"
            return NotJoined(key=join.key, reason=said, waits=True)
        await self._admitted.rewrite()
        return Joined(
            key=join.key,
            name=key.name or "",
            owner=enrolling.owner_name,
            labels=tuple(key.labels),
            slots=key.slots,
        )

    async def _owner_of(self, unit: UnitOfWork, who: str) -> Named:
        """Whose daemon it is, or is to be: of the key that it shows. A key that nobody knows asks the cluster's own."""
        kind, _, by = who.partition(":")
        asked = OWNER_NAMED(
            name=daemon_of(by, self._settings.owner).owner if kind == "daemon" else self._settings.owner
        )
        known = [] if kind == "daemon" else await unit.fetch(OWNER_OF_KEY(key=by))
        for owner in known or await unit.fetch(asked):
            return owner
        raise Refused("its owner is gone")

    async def _enrolled(self, enrolling: Enrolling, who: str, join: Join) -> DaemonKey:
        kind, _, by = who.partition(":")
        if not is_public_key(join.key):
            raise Refused("that is no key")
        known = await enrolling.unit.fetch_first(KEY(key=join.key, owner=enrolling.owner))
        if known is None and await enrolling.unit.fetch(KEY_EXISTS(key=join.key)):
            raise Refused("this key is another's")
        match kind:
            case "invitation":
                return await self._by_invitation(enrolling, by, join, known)
            case "asking":
                return await self._by_asking(enrolling, by, join, known)
            case "daemon":
                return await self._by_daemon(enrolling, daemon_of(by, self._settings.owner).name, join, known)
        raise Refused("whose connection this is can't be told")

    async def _by_invitation(self, enrolling: Enrolling, by: str, join: Join, known: DaemonKey | None) -> DaemonKey:
        """The first key that an invitation brings is accepted, and no other."""
        if known is not None and known.status is KeyStatus.ACCEPTED and known.joined_by == by:
            return known
        invited = await enrolling.unit.fetch_first(KEY(key=by, owner=enrolling.owner))
        if invited is None or invited.expired or invited.status is not KeyStatus.INVITED:
            raise Refused("this invitation was used, has expired or was revoked; ask for another one")
        _refuse_known(known)
        name = invited.name or join.name
        await enrolling.refuse_name(name)
        await enrolling.refuse_more()
        enrolling.unit.execute(USE_INVITATION(key=by, seconds=USED_SECONDS))
        enrolling.say(by, name, "used")
        return await _accept(enrolling, join.key, name, invited, "by an invitation", asked=known is not None, by=by)

    async def _by_asking(self, enrolling: Enrolling, by: str, join: Join, known: DaemonKey | None) -> DaemonKey:
        """A key that nobody knows waits for a person."""
        if by != join.key:
            raise Refused("nobody asks for another's key")
        if known is not None and known.status in (KeyStatus.ACCEPTED, KeyStatus.ASKING) and not known.expired:
            return known
        _refuse_known(known)
        if not self._settings.link_asking:
            raise Refused("this key isn't invited")
        refuse_bad_name(join.name)
        if await enrolling.unit.fetch_one(COUNT_ASKING(owner=enrolling.owner)) >= MAX_ASKING:
            raise _NotYet(f"{MAX_ASKING} others wait to be accepted already")
        if known is not None:
            raise _NotYet("it has waited for a day, and nobody accepted it; it may ask again soon")
        added = await enrolling.unit.fetch_one(
            ADD_KEY(
                key=join.key, owner=enrolling.owner, name=join.name, status=KeyStatus.ASKING, labels=[], slots=None,
                joined_by=None, seconds=ASKING_SECONDS,
            )
        )  # fmt: skip
        enrolling.say(join.key, join.name, KeyStatus.ASKING)
        return added

    async def _by_daemon(self, enrolling: Enrolling, name: str, join: Join, known: DaemonKey | None) -> DaemonKey:
        """A daemon takes another key; the one that it has connects for a little longer."""
        if known is not None and known.status is KeyStatus.ACCEPTED and known.name == name and not known.expired:
            return known
        _refuse_known(known)
        own = await enrolling.unit.fetch(KEYS_NAMED(owner=enrolling.owner, name=name))
        if not own:
            raise Refused(f"no key of {name} is accepted any more")
        if len(own) >= MAX_OF_ONE_DAEMON:
            raise _NotYet(f"it has taken other keys {len(own) - 1} times within {REPLACED_SECONDS / 60:.0f} minutes")
        enrolling.unit.execute(REPLACE_KEYS(owner=enrolling.owner, name=name, seconds=REPLACED_SECONDS))
        return await _accept(enrolling, join.key, name, own[0], "in place of its other key", asked=known is not None)


async def _accept(
    enrolling: Enrolling, key: str, name: str, like: DaemonKey, reason: str, *, asked: bool, by: str | None = None
) -> DaemonKey:
    """Make a key a daemon's, with labels and slots of another's; one that `asked` before has its row already."""
    given = {"key": key, "name": name, "labels": like.labels, "slots": like.slots, "joined_by": by}
    statement = (
        ACCEPT_KEY(**given)
        if asked
        else ADD_KEY(**given, owner=enrolling.owner, status=KeyStatus.ACCEPTED, seconds=None)
    )
    accepted = await enrolling.unit.fetch_one(statement)
    enrolling.say(key, name, KeyStatus.ACCEPTED, reason)
    return accepted


def _refuse_known(known: DaemonKey | None) -> None:
    """Raise Refused for a key that is, or was, somebody's; one that asks is nobody's yet."""
    if known is not None and known.status is not KeyStatus.ASKING:
        raise Refused(f"this key is {known.status} already; take a new one")
