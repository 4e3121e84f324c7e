"""How the tests look at what was shown: no control characters, a page with the tags we wrote; and texts to try."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.laws import hostile

CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PROFILE = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
PIECES = (*"=+-@\t\r\n'\"<>&;,|%{}[]()$\\/.?#* a1é", "\x1b[", "\u202e", "\x00", "\ud83d", "\u200d")
texts = st.one_of(
    st.sampled_from(hostile.TEXTS),
    st.text(st.characters(codec=None), max_size=40),
    st.builds("".join, st.lists(st.sampled_from(PIECES), max_size=12)),
)  # fmt: skip


def tried(quick: int) -> Any:
    return settings(max_examples=quick, **PROFILE)


ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div", "span", "b", "section", "table", "tr",
    "th", "td", "br", "ul", "li", "bdi",
    "svg", "metadata", "defs", "g", "path", "text", "use", "clippath", "rect", "tspan",
    "rdf:rdf", "cc:work", "dc:type", "dc:date", "dc:format", "dc:creator", "dc:title", "cc:agent",
}  # fmt: skip


class Page(HTMLParser):
    """A browser's eye: the tags, the attributes, the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.parts)


def read_page(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.tags <= ALLOWED, page.tags - ALLOWED
    assert not CONTROLS.search(html)
    for name, value in page.attributes:
        assert not name.startswith("on") and name not in ("src", "href", "srcset", "action"), (name, value)
        assert not (name == "xlink:href" and not value.startswith("#")), value
        assert name.startswith("xmlns") or name == "rdf:resource" or "//" not in value, (name, value)
        assert "url(" not in value or "url(#" in value
    assert any("default-src 'none'" in value for _, value in page.attributes)
    return page
