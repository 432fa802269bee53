"""A browser, as far as signing in needs one: it keeps cookies, goes where it is sent, and fills in forms."""

from __future__ import annotations

import html
import re
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx


class Form(HTMLParser):
    """A page's form: where it goes, and what stands in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.method = "get"
        self.fields: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action, self.method = told.get("action", ""), told.get("method", "get").lower()
        elif tag == "input" and "name" in told:
            self.fields[told["name"]] = told.get("value", "")
        elif tag == "button" and "name" in told:
            self.buttons.append((told["name"], told.get("value", "")))


class Browser:
    """One person's browser. `at` is the page that it shows."""

    def __init__(self) -> None:
        self.http = httpx.Client(timeout=30, follow_redirects=True)
        self.at: httpx.Response | None = None

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def open(self, address: str) -> Browser:
        """Go to an address, and wherever it leads."""
        self.at = self.http.get(address)
        return self

    def submit(self, button: str | None = None, **fields: str) -> Browser:
        """Fill in the page's form and send it off, by a button of that value where it has several."""
        assert self.at is not None
        form = Form(self.at.text)
        assert form.action is not None, self.text
        pressed = [(name, value) for name, value in form.buttons if button in (None, value)]
        told = {**form.fields, **fields, **dict(pressed[:1])}
        where = urljoin(str(self.at.url), form.action)
        if form.method == "post":
            self.at = self.http.post(where, data=told)
        else:
            self.at = self.http.get(where, params=told)
        return self

    def sign_in(self, name: str) -> Browser:
        """Fill in what the real provider asks: who it is, and whether this cluster may know."""
        self.submit(login=name, password="of a test")
        return self.submit()

    @property
    def text(self) -> str:
        """What the page says, without its marks."""
        assert self.at is not None
        body = re.sub(r"<(style|title)>.*?</\1>", "", self.at.text, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def main(name: str, address: str) -> int:
    """Open an address as a browser that `makima login` starts, sign in there by this name, and let that go on."""
    with Browser() as browser:
        browser.open(address).sign_in(name)
        if "Go on only" in browser.text:
            browser.submit()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
