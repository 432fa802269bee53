"""The page in a real browser, on a real cluster: from a goal to its delivery without the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.acceptance.test_planning import adds, goal
from tests.conftest import ROOT, Cluster, git
from tests.waiting import until

DEADLINE_MS = 30_000
expect.set_options(timeout=DEADLINE_MS)
WIDE, PHONE = {"width": 1380, "height": 900}, {"width": 390, "height": 844}
AXE = ROOT / "page" / "node_modules" / "axe-core" / "axe.min.js"
HOSTILE = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("this machine has no Chromium: install your system's package chromium")
    with sync_playwright() as playing:
        browser = playing.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A page of the cluster in a browser that `makima open` signed in. What its scripts complain of is gathered."""

    def __init__(self, chromium: Browser, cluster: Cluster, viewport: dict[str, int], **options: object) -> None:
        self.context = chromium.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(DEADLINE_MS)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"a dialog: {dialog.message}"))
        link = cluster.makima("open", "--print").split()[-1]
        self.base = link.partition("/open")[0]
        self.page.goto(link)
        expect(self.page.get_by_role("navigation")).to_be_visible()
        assert "#" not in self.page.url

    def at(self, path: str) -> Page:
        """The page at an address."""
        self.page.goto(self.base + path)
        expect(self.page.locator("main h1")).to_be_attached()
        return self.page


@pytest.fixture
def tab(chromium: Browser, cluster: Cluster) -> Iterator[Tab]:
    opened = Tab(chromium, cluster, WIDE)
    yield opened
    assert opened.errors == []
    opened.context.close()


@pytest.fixture
def phone(chromium: Browser, cluster: Cluster) -> Iterator[Tab]:
    opened = Tab(chromium, cluster, PHONE)
    yield opened
    assert opened.errors == []
    opened.context.close()


def start(cluster: Cluster, title: str, origin: Path, *commands: str) -> int:
    """A directive that the agent `shell` plans; its number."""
    told = ("--title", title, "--goal", goal(*commands), "--repo", str(origin), "--start", "--quiet")
    return int(cluster.makima("directive", "create", *told))


def standing(page: Page, word: str) -> Locator:
    """Where a directive stands, as it is said beside its title."""
    return page.locator(".head .status", has_text=word)


def box(page: Page, name: str) -> Locator:
    """A step's box in the graph."""
    return page.locator(".svelte-flow__node", has_text=name)


def test_a_goal_becomes_a_delivery_by_the_page_alone(tab: Tab, phone: Tab, origin: Path) -> None:
    page = tab.at("/new")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("It needs a title.")).to_be_visible()
    page.get_by_label("Title").fill("Two greetings")
    asks = "makima ask 'Which greeting?' --option Hello --option Salut >greeting.txt"
    page.get_by_label("Goal, in prose or Markdown").fill(
        goal(adds("Say hello", asks), adds("Say bye", "echo bye >bye.txt", "--depends-on", "Say hello"))
    )
    page.get_by_label("Repository").fill(str(origin))
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="Two greetings", level=1)).to_be_visible()
    number = re.search(r"/directives/(\d+)", page.url)
    assert number

    expect(box(page, "Say bye")).to_contain_text("proposed")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("Approved; its steps start.")).to_be_visible()

    small = phone.at("/")
    small.get_by_role("button", name="Salut").click()
    expect(small.get_by_role("listitem").filter(has_text="Two greetings").get_by_text("delivered")).to_be_visible()

    expect(box(page, "Say bye")).to_contain_text("completed")
    expect(standing(page, "delivered")).to_be_visible()
    page.get_by_role("tab", name="Changes").click()
    expect(page.get_by_role("row", name="Salut")).to_be_visible()
    page.get_by_role("tab", name="Story").click()
    expect(page.get_by_text("An agent asks: Which greeting?")).to_be_visible()
    page.get_by_role("tab", name="Timeline").click()
    expect(page.get_by_role("img", name=re.compile("paused .*waits for an answer")).first).to_be_attached()


def test_a_comment_on_a_line_becomes_work(tab: Tab, cluster: Cluster, origin: Path) -> None:
    number = start(cluster, "To be reviewed", origin, adds("Write it", "echo frist >first.txt"))
    page = tab.at(f"/directives/{number}/steps/1?side=diff")
    expect(standing(page, "delivered")).to_be_attached()
    page.reload()
    page.get_by_role("button", name="Comment on line 1 of first.txt").click()
    page.get_by_label("Your comment").fill("echo first >first.txt # it is misspelt")
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Plan them as a step").click()
    expect(box(page, "Settle comments on Write it")).to_be_visible()
    directive = cluster.show(str(number))
    assert "first.txt:1\n> frist\necho first" in directive["steps"][1]["description"]


def test_output_comes_as_it_is_printed(tab: Tab, cluster: Cluster, origin: Path) -> None:
    prints = "for i in $(seq 400); do echo line $i; done; sleep 2; echo the end"
    number = start(cluster, "Printing", origin, adds("Print", prints))
    page = tab.at(f"/directives/{number}/steps/1")
    expect(page.get_by_role("log")).to_contain_text("the end")
    expect(page.get_by_text("401 lines")).to_be_visible()


def test_nothing_that_others_wrote_is_markup(tab: Tab, cluster: Cluster, origin: Path) -> None:
    shows = f"cat <<'END'\n{HOSTILE}\nEND\nmakima ask {HOSTILE!r} --option {HOSTILE!r} >a.txt"
    told = goal(adds(f"Step {HOSTILE}", shows)) + f"\n{HOSTILE}\n[a link](javascript:window.pwned=1)\n"
    made = ("directive", "create", "--title", f"Title {HOSTILE}", "--goal", told, "--repo", str(origin), "--start")
    number = cluster.makima(*made, "--quiet").strip()
    page = tab.at(f"/directives/{number}/steps/1")
    expect(page.get_by_role("log")).to_contain_text("onerror")
    tabs = [f"/directives/{number}?tab={name}" for name in ("graph", "goal", "story", "timeline", "steps", "changes")]
    for place in ("/", *tabs, "/new", "/orders"):
        page = tab.at(place)
        page.wait_for_timeout(500)
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, main script, main a[href^='javascript']").count() == 0
    page = tab.at("/")
    page.get_by_role("button", name=HOSTILE).click()
    expect(page.get_by_text("Answered.")).to_be_visible()


def test_a_gateway_that_is_killed_under_it_is_said_and_nothing_is_missed(
    tab: Tab, cluster: Cluster, origin: Path
) -> None:
    go = cluster.marks / "go"
    waits = f"while [ ! -e {go} ]; do sleep 0.2; done; echo x >x.txt"
    number = start(cluster, "Across a restart", origin, adds("Wait", waits))
    page = tab.at(f"/directives/{number}")
    expect(box(page, "Wait")).to_contain_text("running")
    gateway = cluster.processes()["gateway"]
    os.kill(gateway, signal.SIGKILL)
    go.touch()
    until(lambda: cluster.processes().get("gateway") not in (None, gateway), "another gateway", 30)
    expect(standing(page, "delivered")).to_be_visible()
    expect(page.get_by_text("The gateway is away")).to_be_hidden()
    expect(page.get_by_role("navigation")).to_be_visible()


def test_what_another_person_changed_meanwhile_is_said_and_not_overwritten(
    tab: Tab, cluster: Cluster, origin: Path
) -> None:
    number = start(cluster, "Two people", origin, adds("Ask", "makima ask 'Go on?' --option yes >a.txt"))
    page = tab.at(f"/directives/{number}")
    page.get_by_role("button", name="Change the goal").click()
    page.get_by_label("The new goal").fill("What the slower one wants")
    cluster.makima("directive", "goal", str(number), "What the faster one wants")
    page.get_by_role("dialog").get_by_role("button", name="Change the goal").click()
    expect(page.locator(".said")).to_contain_text("goal")
    assert cluster.show(str(number))["goal"] == "What the faster one wants"
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_whoever_is_of_another_owner_sees_nothing_of_it_and_who_signs_out_neither(
    tab: Tab, cluster: Cluster, origin: Path
) -> None:
    number = start(cluster, "Ours alone", origin, adds("Keep", "echo kept >kept.txt"))
    page = tab.at("/")
    expect(page.get_by_text("Ours alone")).to_be_visible()
    cluster.makima("owner", "create", "red")
    cluster.makima("member", "add", "ada", "--owner", "red", "--role", "admin")
    told = json.loads(cluster.makima("token", "create", "laptop", "--person", "ada", "--owner", "red", "-o", "json"))
    headers = {"Authorization": f"Bearer {told['token']}"}
    link = httpx.post(f"{tab.base}/v1/session/links", headers=headers).json()["path"]
    page.goto(tab.base + "/new")
    page.goto(tab.base + link)
    expect(page.get_by_text("Nothing does.")).to_be_visible()
    assert "Ours alone" not in page.content()
    page = tab.at(f"/directives/{number}")
    expect(page.get_by_role("heading", name=f"There is no directive {number}")).to_be_visible()
    page.keyboard.press("Control+k")
    page.get_by_role("option", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to makima")).to_be_visible()
    page.goto(f"{tab.base}/directives/{number}")
    expect(page.get_by_role("heading", name="Sign in to makima")).to_be_visible()
    assert "Ours alone" not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_nobody_is_kept_out(
    chromium: Browser, cluster: Cluster, origin: Path, scheme: str, viewport: dict[str, int]
) -> None:
    number = start(cluster, "For everybody", origin, adds("Ask", "makima ask 'Go on?' --option yes >a.txt"))
    opened = Tab(chromium, cluster, viewport, color_scheme=scheme)
    tabs = [f"/directives/{number}?tab={name}" for name in ("graph", "goal", "story", "timeline", "steps")]
    for place in ("/", "/new", "/orders", "/daemons", f"/directives/{number}/steps/1", *tabs):
        page = opened.at(place)
        page.wait_for_timeout(400)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")
        wrong = [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]]
        assert wrong == [], place
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], f"{place} is {width} wide"
    opened.context.close()
    assert git(origin, "rev-parse", "--verify", "HEAD")


def test_it_is_used_by_the_keyboard_alone(tab: Tab, cluster: Cluster, origin: Path) -> None:
    start(cluster, "By keys", origin, adds("Ask", "makima ask 'Which key?' --option any >a.txt"))
    page = tab.at("/")
    expect(page.get_by_text("Which key?")).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type("By keys")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="By keys", level=1)).to_be_visible()
    page.get_by_role("button", name="any").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Answered.")).to_be_visible()
    page.keyboard.press("h")
    expect(page.get_by_role("heading", name=re.compile("Under way"))).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
