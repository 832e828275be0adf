"""Markdown to HTML whose links cannot run code, even if a stranger wrote the text."""

from html import unescape
from xml.etree.ElementTree import Element

import markdown
from markdown.treeprocessors import Treeprocessor

LINK_SCHEMES = frozenset(("", "http", "https", "mailto", "tel", "ftp", "cid"))
"""Schemes that a link or an image may have; "" stands for a relative one."""


def markdown_to_html(text: str) -> str:
    """Return Markdown, with tables and fenced code, as HTML.

    HTML-escaping the values before is not enough: `[l](javascript:...)` would still be a link.
    """
    converter = markdown.Markdown(extensions=["tables", "fenced_code"])
    # After all built-in tree processors; the last of them, which undoes backslashes, has 0.
    converter.treeprocessors.register(_SafeLinks(converter), "safe_links", -10)
    return converter.convert(text)


class _SafeLinks(Treeprocessor):
    def run(self, root: Element) -> None:
        """Remove every address whose scheme is not known to be harmless."""
        for element in root.iter():
            for attribute in ("href", "src"):
                if _scheme(element.get(attribute, "")) not in LINK_SCHEMES:
                    element.set(attribute, "")


def _scheme(address: str) -> str:
    """Return the scheme as a browser reads it: without entities, spaces and controls.

    Entities are resolved twice, because an entity may have been escaped before.
    """
    visible = "".join(c for c in unescape(unescape(address)) if c.isprintable() and c != " ")
    before, colon, _ = visible.partition(":")
    return "" if not colon or set(before) & set("/?#") else before.lower()
