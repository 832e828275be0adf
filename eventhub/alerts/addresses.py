"""Addresses of a mail: lists are parsed once, strictly, and each address is kept separately.

The grammar is that of RFC 5322 section 3.4 with the letters of RFC 6532: names with or without
quotes, comments, groups. Any other text is not an address: it is reported, never guessed at.
Encoded words are plain text here; nothing is decoded.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import idna

from eventhub.alerts.interpolation import interpolate, remove_marks

MAX_LOCAL, MAX_SPEC = 64, 254
"""Octets of a local part and of an address (RFC 5321 section 4.5.3.1)."""

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a0-\U0010ffff-"
_DOT_ATOM = re.compile(rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_TOKEN = re.compile(
    rf"(?P<blank>[ \t]+)|(?P<quoted>\"(?:[^\"\\]|\\.)*\")|(?P<atom>[{_ATEXT}.]+)"
    r"|(?P<special>[<>,:;@])",
    re.DOTALL,
)
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """One address, with its display name."""

    display_name: str
    username: str
    """The local part, without quotes."""
    domain: str

    @property
    def addr_spec(self) -> str:
        """The address in the form of SMTP: the local part is quoted only if it must be."""
        if _DOT_ATOM.fullmatch(self.username):
            return f"{self.username}@{self.domain}"
        escaped = re.sub(r'(["\\])', r"\\\1", self.username)
        return f'"{escaped}"@{self.domain}'

    def __str__(self) -> str:
        return f"{self.display_name} <{self.addr_spec}>" if self.display_name else self.addr_spec


class Addresses(NamedTuple):
    """The content of lists of addresses."""

    found: tuple[Address, ...] = ()
    """Each once, in order."""
    malformed: tuple[str, ...] = ()
    """The beginning of each text that is not an address. It is reported, and gets no mail."""


NO_ADDRESSES = Addresses()


class _Token(NamedTuple):
    kind: str
    text: str
    value: str
    """The content of a quoted string, or of a comment without its parentheses; else the text."""


def parse_addresses(texts: Iterable[str]) -> Addresses:
    """Return the addresses in comma-separated lists.

    A domain outside ASCII becomes its IDNA form, the only one that every server accepts. A list
    that contains a line break or another control character is malformed as a whole.
    """
    found: dict[str, Address] = {}
    malformed: list[str] = []
    for rendered in texts:
        text = interpolate(rendered, _is_balanced)
        if text is None or has_controls(text):
            malformed.append(remove_marks(rendered)[:MAX_SPEC])
            continue
        for item in _items(text):
            address = _mailbox(item)
            if address is not None:
                found.setdefault(address.addr_spec.lower(), address)
            elif written := "".join(token.text for token in item).strip():
                malformed.append(written[:MAX_SPEC])
    return Addresses(tuple(found.values()), tuple(dict.fromkeys(malformed)))


def has_controls(text: str) -> bool:
    """Tell whether a text has line breaks, other controls, or halves of surrogate pairs."""
    return bool(_CONTROLS.search(text))


def why_malformed(text: str) -> str:
    """Return what is wrong with a text that is not an address."""
    return "a line break or control character" if has_controls(text) else "not an address"


def _items(text: str) -> Iterator[list[_Token]]:
    """Split a list at its commas; a group yields its members."""
    item: list[_Token] = []
    in_group = in_angle = False
    for token in _tokens(text):
        in_angle = token.text == "<" or (in_angle and token.text != ">")
        if token.kind != "special" or in_angle:
            item.append(token)
        elif token.text == ":" and not in_group and _is_phrase(item):
            in_group, item = True, []
        elif token.text == "," or (token.text == ";" and in_group):
            in_group = in_group and token.text == ","
            yield item
            item = []
        else:
            item.append(token)
    yield item


def _tokens(text: str) -> Iterator[_Token]:
    """Split a text; from the first place where no token matches, the rest is a `wrong` token."""
    at = 0
    while at < len(text):
        if text[at] == "(":
            end = _end_of_comment(text, at)
            token = _Token("comment", text[at:end], _unquote(text[at + 1 : end - 1]))
            wrong = end == at
        else:
            match = _TOKEN.match(text, at)
            kind, found = (match.lastgroup or "", match[0]) if match else ("", "")
            token = _Token(kind, found, _unquote(found[1:-1]) if kind == "quoted" else found)
            wrong = match is None
        if wrong:
            yield _Token("wrong", text[at:], text[at:])
            return
        yield token
        at += len(token.text)


def _end_of_comment(text: str, start: int) -> int:
    """Return the end of a comment, which may contain others; `start` if it is not closed."""
    depth = 0
    at = start
    while at < len(text):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 2 if text[at] == "\\" else 1
        if depth == 0:
            return at
    return start


def _unquote(text: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", text)


def _is_balanced(text: str) -> bool:
    """Tell whether a text closes each quote and comment that it opens, and no other."""
    return not re.search(r'["()]', text) or all(each.kind != "wrong" for each in _tokens(text))


def _is_phrase(item: list[_Token]) -> bool:
    kinds = {token.kind for token in item}
    return kinds <= {"atom", "quoted", "blank", "comment"} and bool(kinds & {"atom", "quoted"})


def _mailbox(item: list[_Token]) -> Address | None:
    """Return the one address of an item: `user@domain` or `name <user@domain>`."""
    comments = " ".join(token.value for token in item if token.kind == "comment")
    marks = [index for index, token in enumerate(item) if token.text in ("<", ">")]
    if not marks:
        return _address(comments, item)
    if len(marks) != 2 or item[marks[0]].text != "<" or not _is_empty(item[marks[1] + 1 :]):
        return None
    before = item[: marks[0]]
    if not (_is_phrase(before) or _is_empty(before)):
        return None
    return _address(_phrase(before) or comments, item[marks[0] + 1 : marks[1]])


def _phrase(tokens: list[_Token]) -> str:
    """Return the words of a name, with one space in place of spaces and comments."""
    name = ""
    is_apart = False
    for token in tokens:
        if token.kind in ("blank", "comment"):
            is_apart = True
        elif token.value:
            name += " " * (is_apart and name != "") + token.value
            is_apart = False
    return name


def _is_empty(tokens: list[_Token]) -> bool:
    return all(token.kind in ("blank", "comment") for token in tokens)


def _address(name: str, tokens: list[_Token]) -> Address | None:
    """Return the address of a local part, an at sign and a domain, with spaces only around it."""
    kept = [token for token in tokens if token.kind != "comment"]
    while kept and kept[0].kind == "blank":
        kept.pop(0)
    while kept and kept[-1].kind == "blank":
        kept.pop()
    if [token.kind for token in kept] not in (
        ["atom", "special", "atom"],
        ["quoted", "special", "atom"],
    ):
        return None
    user, at, written = kept
    domain = _domain(written.value)
    if at.text != "@" or domain is None or not _is_local(user):
        return None
    address = Address(name, user.value, domain)
    return address if len(address.addr_spec.encode()) <= MAX_SPEC else None


def _is_local(token: _Token) -> bool:
    """Tell whether a local part is sent and read back unchanged.

    `=?` begins an encoded word: no mailbox has such a name, and mail readers might decode it.
    """
    text = token.value
    if not text.isprintable() or not text or "=?" in text or len(text.encode()) > MAX_LOCAL:
        return False
    return token.kind == "quoted" or bool(_DOT_ATOM.fullmatch(text))


def _domain(text: str) -> str | None:
    """Return a domain in ASCII, or None if the text is not a domain."""
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True, std3_rules=True).decode()
        except (idna.IDNAError, UnicodeError):
            return None
    labels = text.split(".")
    return text if all(map(_LABEL.fullmatch, labels)) and len(text) <= 253 else None
