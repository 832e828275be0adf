"""Headers of a mail, written so that a reader who decodes them gets exactly the given text.

Neither this module nor a library parses the text: text that looks like an encoded word, a quoted
name or a parameter is encoded as a whole, so that decoding it once returns the text unchanged
(RFC 5322, 2047, 2231, 6532). Lines are folded between words and have at most 78 characters, unless
one address is longer.
"""

import re
import string
from base64 import b64encode
from collections.abc import Iterable, Iterator

from eventhub.alerts.addresses import Address

LINE = 76
"""Characters of a line: the limit for one with an encoded word (RFC 2047 section 2)."""
_ENCODED_WORD = 75
_FRAME = len("=?utf-8?q??=")
_LEAST = 8
"""If an encoded word has room for less than twice this, a new line is begun: one character has up
to 4 bytes, which take 12 characters in Q and 8 in B."""

_Q_SAFE = frozenset((string.ascii_letters + string.digits + "!*+-/").encode())
"""Bytes that Q never needs to encode (RFC 2047 section 5, rule 3)."""
_ATTRIBUTE_SAFE = frozenset((string.ascii_letters + string.digits + "!#$&+-.^_`{|}~").encode())
"""`attribute-char` of RFC 2231."""
_PLAIN_WORD = re.compile(r"[!-~]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_QUOTABLE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
"""Text that reads the same in quotes, even for a reader that does not know backslashes."""
_MAX_QUOTED = 60
_MAX_SECTION = 60

_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""The characters at which `str.splitlines` splits."""
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def one_line(text: str) -> str:
    """Return text in a form that a header may contain.

    A line break with the spaces around it becomes one space, or nothing at either end; other
    control characters, which no header may contain, are left out.
    """
    lines = text.splitlines()
    if text.endswith(tuple(_BREAKS)):
        lines.append("")
    if len(lines) > 1:
        inner = (line.strip(" \t") for line in lines[1:-1])
        lines = [lines[0].rstrip(" \t"), *inner, lines[-1].lstrip(" \t")]
    return _CONTROL.sub("", " ".join(filter(None, lines)))


def text_header(name: str, text: str) -> str:
    """Return an unstructured header; words that could be misread are encoded, in one run."""
    line = _Folded(name)
    words = one_line(text).split(" ")
    odd = [index for index, word in enumerate(words) if _needs_encoding(words, index)]
    first, end = (odd[0], odd[-1] + 1) if odd else (len(words), len(words))
    for word in words[:first]:
        line.add(word)
    if odd:
        line.add_encoded(" ".join(words[first:end]))
    for word in words[end:]:
        line.add(word)
    return str(line)


def _needs_encoding(words: list[str], index: int) -> bool:
    """Tell whether a word is not plain, or is next to more than one space."""
    around = words[max(index - 1, 0) : index + 2]
    return words != [""] and ("" in around or not _is_plain(words[index]))


def _is_plain(word: str) -> bool:
    return bool(_PLAIN_WORD.fullmatch(word)) and "=?" not in word and len(word) < LINE - 16


def address_header(name: str, addresses: Iterable[Address]) -> str:
    """Return a header that is a list of addresses.

    Local parts outside ASCII stay unchanged (RFC 6532): leave them out for a server without
    SMTPUTF8.
    """
    line = _Folded(name)
    listed = list(addresses)
    for number, address in enumerate(listed, 1):
        comma = "," * (number < len(listed))
        if name := one_line(address.display_name):
            _add_phrase(line, name)
            line.add(f"<{address.addr_spec}>{comma}")
        else:
            line.add(address.addr_spec + comma)
    return str(line)


def _add_phrase(line: "_Folded", name: str) -> None:
    if "=?" in name or len(name) > _MAX_QUOTED or not _QUOTABLE.fullmatch(name):
        line.add_encoded(name)
    else:
        line.add(name if _ATOMS.fullmatch(name) else f'"{name}"')


def parameter_header(name: str, value: str, **parameters: str) -> str:
    """Return a header such as `Content-Disposition`, with parameters in the form of RFC 2231."""
    line = _Folded(name)
    sections = [value]
    for key, text in parameters.items():
        sections += _parameter(key, one_line(text))
    for section in sections[:-1]:
        line.add(section + ";")
    line.add(sections[-1])
    return str(line)


def _parameter(key: str, text: str) -> list[str]:
    """Return a parameter: quoted if that is safe, otherwise encoded in sections that fit a line."""
    if "=?" not in text and len(text) <= _MAX_QUOTED and _QUOTABLE.fullmatch(text):
        return [f'{key}="{text}"']
    units = [
        "".join(chr(b) if b in _ATTRIBUTE_SAFE else f"%{b:02X}" for b in character.encode())
        for character in text
    ]
    found = list(_chunks(["utf-8''", *units], _MAX_SECTION))
    if len(found) == 1:
        return [f"{key}*={found[0]}"]
    return [f"{key}*{number}*={chunk}" for number, chunk in enumerate(found)]


def _chunks(units: list[str], size: int) -> Iterator[str]:
    """Join units to texts of at most `size` characters; without units, to one empty text."""
    chunk = ""
    for unit in units:
        if chunk and len(chunk) + len(unit) > size:
            yield chunk
            chunk = ""
        chunk += unit
    yield chunk


class _Folded:
    """A header that is being written: words with one space between them, in folded lines."""

    def __init__(self, name: str) -> None:
        self._done: list[str] = []
        self._line = f"{name}:"
        self._is_first = True

    def add(self, word: str) -> None:
        """Add a word unchanged."""
        if not self._is_first and len(self._line) + 1 + len(word) > LINE:
            self._fold()
        self._line += " " + word
        self._is_first = False

    def add_encoded(self, text: str) -> None:
        """Add a text, which must not be empty, as encoded words of whole characters."""
        data = text.encode()
        plain = sum(byte in _Q_SAFE or byte == 0x20 for byte in data)
        as_q = 3 * len(data) - 2 * plain <= (len(data) + 2) // 3 * 4
        at = 0
        while at < len(text):
            room = min(_ENCODED_WORD, LINE - 1 - len(self._line)) - _FRAME
            if room < 2 * _LEAST and not self._is_first:
                self._fold()
                continue
            taken, word = _encode_prefix(text[at : at + room], room, as_q=as_q)
            self._line += f" =?utf-8?{'q' if as_q else 'b'}?{word}?="
            self._is_first = False
            at += taken

    def _fold(self) -> None:
        self._done.append(self._line)
        self._line = ""

    def __str__(self) -> str:
        return "\r\n".join([*self._done, self._line]) + "\r\n"


def _encode_prefix(text: str, room: int, *, as_q: bool) -> tuple[int, str]:
    """Return how many characters fit into `room` when they are encoded, and their encoding."""
    data = bytearray()
    encoded = ""
    for taken, character in enumerate(text):
        data += character.encode()
        longer = _q(bytes(data)) if as_q else b64encode(data).decode()
        if len(longer) > room:
            return taken, encoded
        encoded = longer
    return len(text), encoded


def _q(data: bytes) -> str:
    return "".join(
        "_" if byte == 0x20 else chr(byte) if byte in _Q_SAFE else f"={byte:02X}" for byte in data
    )
