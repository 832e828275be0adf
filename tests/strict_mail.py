"""A strict reader of mail, for tests: it refuses what RFC 5322, 2047, 2045 and 2231 do not allow.

It shares no code with the writer, nor with Python's `email`, which forgives much.
"""

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_FIELD = re.compile(r"([!-9;-~]+):((?: [^\r\n]*)?(?:\r\n[ \t][^\r\n]*)*)\r\n")
_WORD = re.compile(r"=\?utf-8\?([qb])\?([!->@-~]+)\?=", re.IGNORECASE)
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_SECTION = re.compile(r"filename\*(?:(\d+)\*)?")


class Mailbox(NamedTuple):
    """One address of a header."""

    name: str
    spec: str


@dataclass(frozen=True)
class StrictMail:
    """Headers as they stand, unfolded, in order; and the content behind them."""

    headers: list[tuple[str, str]]
    content: bytes

    @classmethod
    def parse(cls, raw: bytes, *, utf8: bool = False) -> "StrictMail":
        """Read a mail or a part of one."""
        head, gap, content = raw.partition(b"\r\n\r\n")
        assert gap, "no line between headers and content"
        text = head.decode("utf-8" if utf8 else "ascii") + "\r\n"
        headers = []
        at = 0
        while at < len(text):
            field = _FIELD.match(text, at)
            assert field is not None, f"no header: {text[at : at + 80]!r}"
            for line in field[0].removesuffix("\r\n").split("\r\n"):
                assert line.strip(), "a line of blanks only"
                assert len(line) <= (998 if "=?" not in line else 76), f"too long: {line!r}"
                assert not re.search("[\x00-\x08\x0a-\x1f\x7f]", line), f"a control: {line!r}"
            headers.append((field[1], field[2].replace("\r\n", "")))
            at = field.end()
        return cls(headers, content)

    @property
    def names(self) -> list[str]:
        """The headers' names, in lower case, in order."""
        return [name.lower() for name, _ in self.headers]

    def value(self, name: str) -> str:
        """The raw value of the one header of a name, without the blank before it."""
        (found,) = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[1:]

    def text(self, name: str) -> str:
        """The value of an unstructured header, decoded."""
        return _decoded(self.value(name).split(" "))

    def mailboxes(self, name: str) -> list[Mailbox]:
        """The addresses of a header."""
        return [_mailbox(item) for item in _split(self.value(name), ",")]

    def filename(self) -> str:
        """The name that `Content-Disposition` gives."""
        _, *parameters = _split(self.value("Content-Disposition"), ";")
        encoded = ""
        for number, parameter in enumerate(parameters):
            key, _, value = parameter.strip().partition("=")
            if key == "filename":
                assert value[0] == value[-1] == '"'
                assert len(parameters) == 1
                return value[1:-1]
            section = _SECTION.fullmatch(key)
            assert section is not None
            assert int(section[1] or 0) == number
            encoded += value
        assert encoded.startswith("utf-8''")
        return unquote_to_bytes(encoded.removeprefix("utf-8''")).decode()

    def body(self) -> bytes:
        """The content of a part, its transfer encoding undone."""
        match self.value("Content-Transfer-Encoding"):
            case "7bit":
                assert self.content.isascii()
                return self.content
            case "base64":
                assert re.fullmatch(rb"(?:[A-Za-z0-9+/=]{1,76}\r\n)*", self.content)
                return b64decode(self.content)
            case "quoted-printable":
                return _unquoted(self.content)
            case other:
                raise AssertionError(f"encoding {other}")

    def parts(self) -> list["StrictMail"]:
        """The parts of a multipart."""
        found = re.fullmatch(r'multipart/[a-z]+; boundary="([^"]+)"', self.value("Content-Type"))
        assert found is not None, self.value("Content-Type")
        boundary = b"\r\n--" + found[1].encode()
        first, *parts = (b"\r\n" + self.content).split(boundary)
        assert first == b""
        assert parts.pop() == b"--\r\n"
        assert all(part.startswith(b"\r\n") for part in parts)
        return [StrictMail.parse(part.removeprefix(b"\r\n")) for part in parts]


def _unquoted(data: bytes) -> bytes:
    assert all(len(line) <= 76 for line in data.split(b"\r\n"))
    assert not re.search(rb"[^\t\r\n -~]|[ \t]\r\n|\r(?!\n)|(?<!\r)\n", data)
    joined = data.replace(b"=\r\n", b"")
    assert not re.search(rb"=(?![0-9A-F]{2})", joined)
    return re.sub(rb"=([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), joined)


def _word(word: str) -> str | None:
    """Decode one encoded word; None for any other word."""
    found = _WORD.fullmatch(word)
    if found is None:
        assert "=?" not in word, f"half an encoded word: {word!r}"
        return None
    assert len(word) <= 75
    if found[1].lower() == "b":
        return b64decode(found[2], validate=True).decode()
    assert re.fullmatch("(?:[A-Za-z0-9!*+/_-]|=[0-9A-F]{2})+", found[2])
    data = found[2].replace("_", "=20").encode()
    return re.sub(rb"=(..)", lambda pair: bytes([int(pair[1], 16)]), data).decode()


def _decoded(words: list[str]) -> str:
    text = ""
    before_is_encoded = True
    for number, word in enumerate(words):
        found = _word(word)
        between = number > 0 and not (before_is_encoded and found is not None)
        text += " " * between + (word if found is None else found)
        before_is_encoded = found is not None
    return text


def _split(text: str, separator: str) -> list[str]:
    """Split outside quotes."""
    pieces = [""]
    in_quotes = False
    for character in text:
        assert character != "\\", "no writer of ours needs a backslash in a name"
        in_quotes ^= character == '"'
        if character == separator and not in_quotes:
            pieces.append("")
        else:
            pieces[-1] += character
    assert not in_quotes
    return [piece.strip(" ") for piece in pieces]


def _mailbox(item: str) -> Mailbox:
    if not item.endswith(">"):
        return Mailbox("", _spec(item))
    name, _, spec = item[:-1].rpartition("<")
    assert name == "" or name.endswith(" ")
    name = name[:-1]
    if name.startswith('"'):
        assert re.fullmatch(r'"[^"\\]*"', name)
        assert "=?" not in name
        return Mailbox(name[1:-1], _spec(spec))
    words = name.split(" ")
    for word in words:
        assert name == "" or _ATOM.fullmatch(word), f"not a phrase: {name!r}"
    return Mailbox(_decoded(words), _spec(spec))


def _spec(text: str) -> str:
    local, at, domain = text.rpartition("@")
    assert at, f"no address: {text!r}"
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", domain), f"no domain: {text!r}"
    assert "=?" not in local
    assert local.startswith('"') or all(
        re.fullmatch(r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|[^\x00-\x9f])+", atom)
        for atom in local.split(".")
    ), f"no local part: {text!r}"
    return text
