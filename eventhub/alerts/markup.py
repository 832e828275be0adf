"""Markdown as HTML whose links cannot run code, whoever wrote the text."""

from html import unescape
from xml.etree.ElementTree import Element

import markdown
from markdown.treeprocessors import Treeprocessor

LINK_SCHEMES = frozenset(("", "http", "https", "mailto", "tel", "ftp", "cid"))
"""What a link or an image may point at; "" is a relative one."""


def markdown_to_html(text: str) -> str:
    """Return Markdown, with tables and fenced code, as HTML.

    Text that was HTML-escaped before is Markdown still: `[l](javascript:...)` would be a link.
    """
    converter = markdown.Markdown(extensions=["tables", "fenced_code"])
    # After all built-in tree processors: the last, which undoes backslashes, has priority 0.
    converter.treeprocessors.register(_SafeLinks(converter), "safe_links", -10)
    return converter.convert(text)


class _SafeLinks(Treeprocessor):
    def run(self, root: Element) -> None:
        """Take away every address whose scheme is not known to be harmless."""
        for element in root.iter():
            for attribute in ("href", "src"):
                if _scheme(element.get(attribute, "")) not in LINK_SCHEMES:
                    element.set(attribute, "")


def _scheme(address: str) -> str:
    """Return the scheme as a browser reads it: entities resolved, spaces and controls gone.

    Entities are resolved twice: what was escaped before may be one of an entity.
    """
    visible = "".join(c for c in unescape(unescape(address)) if c.isprintable() and c != " ")
    before, colon, _ = visible.partition(":")
    return "" if not colon or set(before) & set("/?#") else before.lower()
