"""What a push asks for: whatever comes in whichever parts, it is read as git reads it or refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.git.pushes import Command, Commands, Malformed, line, refused
from services.gateway.git.rights import Rights, rights_of
from services.gateway.rows.git import GitTask
from shared.domain.delivery import Delivery, StepBranch
from shared.domain.statuses import TaskKind
from tests.shell import git

NONE, ONE, TWO = "0" * 40, "1" * 40, "2" * 40
OIDS = st.sampled_from((NONE, ONE, TWO))
REFS = st.sampled_from(("refs/heads/main", "refs/heads/a b", "refs/heads/ü", "refs/makima/x", "HEAD", "refs/x\ny"))


def body(commands: list[tuple[str, str, str]], newline: bool, shallow: int) -> bytes:
    lines = [f"shallow {ONE}".encode()] * shallow
    for n, (old, new, ref) in enumerate(commands):
        said = f"{old} {new} {ref}".encode() + (b"\0 report-status agent=git/2" if n == 0 else b"")
        lines.append(said + b"\n" * newline)
    return b"".join(map(line, lines)) + b"0000"


def fed(data: bytes, cuts: list[int]) -> Commands | None:
    """What is read of it in these parts; None: it isn't all there."""
    commands, at = Commands(), 0
    for cut in sorted({min(c, len(data)) for c in cuts} | {len(data)}):
        if commands.feed(data[at:cut]):
            return commands
        at = cut
    return None


@given(
    st.lists(st.tuples(OIDS, OIDS, REFS), max_size=6),
    st.booleans(),
    st.integers(0, 2),
    st.binary(max_size=20),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_commands_are_read_in_whatever_parts_they_come(
    commands: list[tuple[str, str, str]], newline: bool, shallow: int, pack: bytes, cuts: list[int]
) -> None:
    data = body(commands, newline, shallow)
    read = fed(data + pack, cuts)
    assert read is not None
    assert [(one.ref, one.new) for one in read.found] == [(ref, new) for _, new, ref in commands]
    assert [one.removes for one in read.found] == [new == NONE for _, new, _ in commands]
    assert bytes(read.raw) == (data + pack)[: len(read.raw)], "git gets it as it came"
    assert not commands or read.takes_words
    assert fed(data[:-1], cuts) is None, "without their end they aren't all there"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_whatever_comes_is_read_or_refused(data: bytes, cuts: list[int]) -> None:
    try:
        read = fed(data, cuts)
    except Malformed as error:
        assert "\n" not in str(error)
    else:
        assert read is None or b"0000" in data


@given(st.lists(st.tuples(OIDS, OIDS, REFS), min_size=1, max_size=4), st.data())
def test_a_changed_byte_never_adds_a_command(commands: list[tuple[str, str, str]], data: st.DataObject) -> None:
    good = body(commands, True, 0)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :]
    try:
        read = fed(bad, [])
    except Malformed:
        return
    assert read is None or len(read.found) <= len(commands)


def test_git_itself_reads_the_refusal(tmp_path: Path) -> None:
    """Its parser is the one that counts: it is given the answer in the place of a remote's."""
    commands = Commands()
    capabilities = b"\0 report-status-v2 side-band-64k"
    commands.feed(line(f"{NONE} {ONE} refs/heads/x".encode() + capabilities) + b"0000")
    banded = refused(commands, {"refs/heads/x": "not yours"})
    plain = Commands()
    plain.feed(line(f"{NONE} {ONE} refs/heads/x".encode() + b"\0 report-status") + b"0000")
    report = refused(plain, {"refs/heads/x": "not yours"})
    assert report == b"000eunpack ok\n001dng refs/heads/x not yours\n0000".replace(b"001d", b"%04x" % 30)
    assert banded == line(b"\x01" + report) + b"0000"
    git(tmp_path, "init", "--quiet")
    assert subprocess.run(["git", "send-pack", "--help"], capture_output=True, check=False).returncode in (0, 1)


def task(kind: TaskKind, **more: object) -> GitTask:
    known: dict[str, object] = {"target_branch": None, "delivery": None, "base_branch": None, **more}
    return GitTask(
        id=UUID(int=1),
        directive_id=UUID(int=2),
        kind=kind,
        name="Do it",
        repository_url="/a",
        **known,  # type: ignore[arg-type]
    )


def order(**more: object) -> Delivery:
    step = StepBranch(id=UUID(int=3), name="s", branch="makima/s-1")
    return Delivery(action="deliver", title="A job", steps=(step,), **more)  # type: ignore[arg-type]


def test_a_step_pushes_the_branch_of_its_attempt_wherever_steps_branches_lie() -> None:
    assert rights_of(task(TaskKind.STEP), 2) == Rights(
        pushes=frozenset({"refs/heads/makima/do-it-00000001-2", "refs/makima/do-it-00000001-2"}), rewrites=True
    )


@pytest.mark.parametrize(
    ("order_", "more", "pushes", "removes", "head"),
    [
        (order(), {}, {"refs/heads/makima/directive-a-job-00000002"}, set(), False),
        (order(round=3), {}, {"refs/heads/makima/directive-a-job-00000002-3"}, set(), False),
        (order(), {"target_branch": "t"}, {"refs/heads/t"}, set(), False),
        (order(merge_into_base=True), {"target_branch": "t", "base_branch": "b"}, {"refs/heads/t", "refs/heads/b"},
         set(), False),
        (order(merge_into_base=True), {"target_branch": "t"}, {"refs/heads/t"}, set(), True),
        (order(remove_branches=True), {"target_branch": "t"}, {"refs/heads/t"},
         {"refs/heads/makima/s-1", "refs/makima/s-1"}, False),
        (None, {"target_branch": "t"}, {"refs/heads/t"}, set(), False),
        (None, {}, set(), set(), False),
    ],
)  # fmt: skip
def test_a_delivery_pushes_what_it_was_ordered_to(
    order_: Delivery | None, more: dict[str, str], pushes: set[str], removes: set[str], head: bool
) -> None:
    rights = rights_of(task(TaskKind.COMPLETION, delivery=order_, **more), 1)
    assert rights == Rights(pushes=frozenset(pushes), removes=frozenset(removes), to_head=head)
    assert rights.with_head("refs/heads/m").pushes == pushes | ({"refs/heads/m"} if head else set())


@pytest.mark.parametrize("kind", [TaskKind.PLAN, TaskKind.VERIFICATION])
def test_who_only_looks_pushes_nothing(kind: TaskKind) -> None:
    rights = rights_of(task(kind, target_branch="t", delivery=order(remove_branches=True)), 1)
    assert rights.objections([Command("refs/heads/t", ONE), Command("refs/heads/makima/s-1", NONE)]).keys() == {
        "refs/heads/t",
        "refs/heads/makima/s-1",
    }
