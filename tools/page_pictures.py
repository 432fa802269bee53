"""`just page-pictures`: docs/page/*.png, every view of the page, wide and on a phone, light and dark."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "page"
SIZES = {"wide": (1380, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
SETTLED_MS = 1500
PLAN: list[dict[str, Any]] = [
    {"name": "Set up the tables", "task_plan": "echo 'CREATE TABLE item (id int);' >tables.sql; sleep 1"},
    {
        "name": "Order API",
        "depends_on": ["Set up the tables"],
        "task_plan": "seq -f 'handler %g' 40; printf 'def orders():\\n    return []\\n' >orders.py; "
        "sed -i 's/two/2/' app.py; sleep 2",
    },
    {
        "name": "Item API",
        "depends_on": ["Set up the tables"],
        "task_plan": "makima ask 'Are items deleted softly, or for good?' --option softly --option 'for good' >it",
    },
    {"name": "Search", "depends_on": ["Set up the tables"], "task_plan": "sleep 4; echo 'import re' >search.py"},
    {"name": "Pages", "depends_on": ["Order API", "Item API"], "task_plan": "echo '<h1>Shop</h1>' >index.html"},
    {"name": "Documentation", "depends_on": ["Order API", "Search"], "task_plan": "echo '# Shop' >SHOP.md"},
    {"name": "Release notes", "depends_on": ["Pages", "Documentation"], "task_plan": "echo 1.0 >CHANGES"},
]
GOAL = (
    "A small shop:\n\n- orders and items, each with an API\n- **search** over both\n- pages and their documentation\n"
)
VIEWS = {
    "home": "/",
    "graph": "/directives/1",
    "step": "/directives/1/steps/2?side=diff",
    "output": "/directives/1/steps/2",
    "timeline": "/directives/1?tab=timeline",
    "story": "/directives/1?tab=story",
    "changes": "/directives/2?tab=changes",
    "many-steps": "/directives/4",
    "new": "/new",
    "orders": "/orders",
    "daemons": "/daemons",
}


class Cluster:
    """A cluster with something to look at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            "PATH": f"{ROOT / '.venv/bin'}:/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder),
            "MAKIMA_HOME": str(folder / "home"), "MAKIMA_PORT": "18420", "LANG": "C.UTF-8",
        }  # fmt: skip

    def makima(self, *arguments: str) -> str:
        """Run a command; what it prints. Raises CalledProcessError."""
        run = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(run, env=self._environment, check=True, capture_output=True, text=True).stdout

    def fill(self) -> None:
        """One that asks, one that is delivered, one that failed, and a plan of many steps."""
        shop = self._repository()
        many = [
            {
                "name": f"Module {row}.{column}",
                "task_plan": "true",
                "depends_on": [f"Module {row - 1}.{(column + by) % 60}" for by in (0, 7)] if row else [],
            }
            for row in range(10)
            for column in range(60)
        ]
        self._directive("A shop with orders, items and a search", shop, PLAN, "--start")
        self._directive(
            "Greet whoever comes", shop, [{"name": "Greet", "task_plan": "echo hello >hello.txt"}], "--start"
        )
        failing = [{"name": "Fix the import", "task_plan": "echo 'no module named yaml' >&2; exit 3"}]
        self._directive("Make the nightly import reliable", shop, failing, "--on-failure", "pause", "--start")
        self._directive("Port 600 modules", shop, many)
        self.makima("order", "add", "Say where a search found nothing")
        while "delivered" not in self.makima("list") or "asks" not in self.makima("inbox"):
            time.sleep(0.5)
        time.sleep(5)

    def _repository(self) -> Path:
        shop = self._folder / "shop"
        shop.mkdir()
        (shop / "app.py").write_text("one\ntwo\nthree\n")
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        for words in (("init", "-q", "-b", "main"), ("add", "."), (*who, "commit", "-qm", "Begin")):
            subprocess.run(["git", *words], cwd=shop, check=True)
        return shop

    def _directive(self, title: str, shop: Path, plan: list[dict[str, Any]], *options: str) -> None:
        path = self._folder / "plan.json"
        path.write_text(json.dumps({"steps": plan}))
        told = ("--title", title, "--goal", GOAL, "--repo", str(shop), "--plan", str(path))
        self.makima("directive", "create", *told, *options)


def main() -> int:
    """Write them; the exit code."""
    program = shutil.which("chromium")
    if program is None:
        print("makima: Chromium is missing: install your system's package chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playing:
        cluster = Cluster(Path(folder))
        cluster.makima("up", "--detach")
        try:
            cluster.fill()
            browser = playing.chromium.launch(executable_path=program, args=["--no-sandbox"])
            _draw(browser, cluster)
            browser.close()
        finally:
            cluster.makima("down")
    return 0


def _draw(browser: Browser, cluster: Cluster) -> None:
    for scheme in SCHEMES:
        for size, (width, height) in SIZES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page = context.new_page()
            link = cluster.makima("open", "--print").split()[-1]
            page.goto(link)
            page.get_by_role("navigation").wait_for()
            for view, path in VIEWS.items():
                page.goto(link.partition("/open")[0] + path)
                page.wait_for_timeout(SETTLED_MS)
                if page.get_by_text("Drawing…").count():
                    page.locator(".svelte-flow__node").first.wait_for()
                    page.wait_for_timeout(SETTLED_MS)
                page.screenshot(path=FOLDER / f"{view}-{size}-{scheme}.png")
                print(FOLDER / f"{view}-{size}-{scheme}.png")
            context.close()


if __name__ == "__main__":
    sys.exit(main())
