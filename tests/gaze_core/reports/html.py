"""What a report page holds, for tests: its tags, the addresses that it names, its visible text and its sections."""

import re
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """Collects tags, the addresses they name and the visible text; refuses tags that close out of order."""

    VOID = ("meta", "img", "line", "circle", "polyline", "rect", "image")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], set(), [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "xlink:href")]
        if tag not in self.VOID and tag != "doctype":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" not in self.open:
            self.text.append(text)


def read_page(path) -> tuple[Page, str]:
    page = Page(path.read_text(encoding="utf-8"))
    return page, " ".join(" ".join(page.text).split())


def headings(path: Path) -> list[str]:
    """The titles of the page's sections, in order."""
    return re.findall(r"<h2>(.*?)</h2>", path.read_text(encoding="utf-8"))


def assert_self_contained(path: Path) -> None:
    """The page runs no script, and names no address outside itself."""
    page, html = read_page(path)[0], path.read_text(encoding="utf-8")
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"<[^>]*https?://|url\(|@import|javascript:", html)  # text may say where to get a file
    assert "default-src 'none'" in html
