"""Masking: hides the secrets of a configuration on screens and in log lines.

There are four kinds: values under the name of a secret or under `headers:`; values from variables
and from separate files; logins and queries in URLs; and, in expressions, all texts if a name in
the expression is that of a secret, and texts that look like a key.
"""

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeGuard

HIDDEN: Final = "***"
LEAST: Final = 4
"""Length of the shortest secret that is masked inside other texts: shorter ones occur anywhere."""
SURE: Final = 8
"""The same for values of variables, which may be ordinary words."""

_NAME: Final = re.compile(
    r"pass(?:word|wd|phrase|code|key)?s?(?:$|[^a-z])|pwd|secret|token|credential|bearer|jwt$"
    r"|authorization|signature|(?:^|[^a-z])(?:sig|pin|pw|hmac|otp|key|keys|apikey)(?:$|[^a-z])",
    re.IGNORECASE,
)
_NO_SECRETS: Final = frozenset(("public_key", "key_file", "access_key_id"))
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD: Final = re.compile(r"[^\s'\"<>`]+")
"""What a URL is within."""
_LOGIN: Final = re.compile(r"(?:^|(?<=[=(,\[{]))[^/:=(,\[{]+:(?!//)(?=.)")
"""The beginning of the login of a URL without a scheme."""
_HOST: Final = re.compile(r"[\w\[]")
_MARK: Final = re.compile(r"[?#]")
_VALUE: Final = re.compile(r"=[^&;#]+")
_PRIVATE_KEY: Final = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END|\Z)", re.DOTALL
)
_TOKEN: Final = re.compile(r"[\w.-]+")
_JWT: Final = "eyJ"
_JWT_HEADER: Final = 8
"""Characters of the first part of a JWT, at least."""
_API_KEY: Final = re.compile(r"(eventhub_[0-9A-Za-z]{10}_)[0-9A-Za-z]+")
_RANDOM: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[\w+/=.:-]{20,}", re.ASCII)
_QUOTED: Final = re.compile(r"(['\"]).*?(?:\1|\Z)", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Tell whether this is the name of a secret, such as `api_key`, `apiKey`, `X-Api-Key`."""
    return name not in _NO_SECRETS and _NAME.search(_CAPITAL.sub("_", name)) is not None


def without_credentials(text: str) -> str:
    """Return a text without keys, and without the logins and query values of its URLs.

    Clients may have written it, so it takes a time that is proportional to its length: no search
    begins again at every place of a word.
    """
    text = _PRIVATE_KEY.sub(rf"\1{HIDDEN}", text)
    text = _API_KEY.sub(rf"\1{HIDDEN}", _TOKEN.sub(_without_jwt, text))
    return _WORD.sub(_without_login_and_query, text)


def _without_jwt(found: re.Match[str]) -> str:
    token = found[0]
    begin = token.find(_JWT)
    while begin >= 0 and (end := token.find(".", begin)) >= 0:
        if end - begin >= _JWT_HEADER:
            return token[:begin] + HIDDEN
        begin = token.find(_JWT, begin + 1)
    return token


def _without_login_and_query(found: re.Match[str]) -> str:
    word = found[0]
    if "@" in word:
        is_quoted = found.string[found.start() - 1 : found.start()] in ("<", ">", "`")
        word = _without_login(word, may_begin=not is_quoted)
    return _without_query(word) if _MARK.search(word) else word


def _without_login(word: str, *, may_begin: bool) -> str:
    """Return a word without its logins.

    Args:
        word: with `@`.
        may_begin: a login without a scheme may be its beginning.
    """
    scheme, mark, rest = word.partition("://")
    if mark and "@" in rest:
        word = f"{scheme}://{HIDDEN}@{rest.rpartition('@')[2]}"
    parts = word.split("@")
    for number, (part, host) in enumerate(pairwise(parts)):
        login = _LOGIN.search(part)
        if login and login.start() == 0 and not (may_begin and number == 0):
            login = _LOGIN.search(part, 1)
        if login and _HOST.match(host):
            parts[number] = part[: login.start()] + HIDDEN
    return "@".join(parts)


def _without_query(word: str) -> str:
    """Return a word that has one without the values of its query, which may be its only one."""
    last = max(word.rfind("="), word.rfind("&"))
    before = max(word.rfind("?", 0, last + 1), word.rfind("#", 0, last + 1))
    for mark in _MARK.finditer(word, last + 1):
        if mark.end() < len(word) and word.find("://", max(0, before - 2), mark.start()) >= 0:
            word = word[: mark.end()] + HIDDEN
            break
        before = mark.start()
    begin = next(_MARK.finditer(word)).start()
    return word[:begin] + _VALUE.sub(f"={HIDDEN}", word[begin:])


def without_texts(text: str) -> str:
    """Return a text without its quotations, of which the last may be cut off."""
    return _QUOTED.sub(rf"\g<1>{HIDDEN}\g<1>", text)


def without_literals(source: str) -> str:
    """Return an expression without the texts that may be secrets.

    These are all texts if the expression contains the name of a secret (`token=`,
    `['X-Api-Key']`), otherwise those that look like a key.
    """
    wrapped = f"(\n{source}\n)"
    try:
        nodes = list(ast.walk(ast.parse(wrapped)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return without_texts(source)
    names_a_secret = any(map(is_secret_name, _words(nodes)))
    lines = wrapped.encode().split(b"\n")
    texts = [node for node in nodes if _is_text(node)]
    for node in sorted(texts, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        value = node.value if isinstance(node, ast.Constant) else ""
        if names_a_secret or (isinstance(value, str) and _RANDOM.fullmatch(value)):
            _hide(lines, node)
    return b"\n".join(lines[1:-1]).decode()


def _words(nodes: list[ast.AST]) -> list[str]:
    words = []
    for node in nodes:
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.keyword(arg=str(word)):
                words.append(word)
            case ast.Constant(value=str(word)):
                words.append(word)
            case _:
                pass
    return words


def _is_text(node: ast.AST) -> TypeGuard[ast.expr]:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes)
    return isinstance(node, ast.JoinedStr)


def _hide(lines: list[bytes], node: ast.expr) -> None:
    """Replace a literal, which may span lines; its columns count bytes."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    begin, end = node.col_offset, node.end_col_offset or 0
    if len(lines) <= last or not lines[first][begin : begin + 1].strip():
        return
    lines[first : last + 1] = [lines[first][:begin] + f"'{HIDDEN}'".encode() + lines[last][end:]]


@dataclass(slots=True)
class Masks:
    """The secrets of one configuration."""

    texts: dict[str, str] = field(default_factory=dict)
    """Texts that contain variables, and the same texts with the variables hidden."""
    secrets: set[str] = field(default_factory=set)
    """Values from separate files, and values under the name of a secret."""
    values: set[str] = field(default_factory=set)
    """Values of other variables."""

    def add_variable(self, name: str, value: str) -> None:
        """Add the value of a variable that was used."""
        (self.secrets if is_secret_name(name) else self.values).add(value)

    def add(self, other: "Masks") -> None:
        """Add the secrets of another configuration."""
        self.secrets |= other.secrets
        self.values |= other.values

    def add_secret(self, value: str) -> None:
        """Add a secret."""
        self.secrets.add(value)

    def in_folder(self, folder: Path, text: str) -> str:
        """Return an absolute path; what is hidden in the text is hidden in the path."""
        path = str((folder / text).absolute())
        if text in self.texts:
            self.texts[path] = self.texts[text]
        return path

    def mask_display(self, text: str) -> str:
        """Return a text of the configuration as it may be printed."""
        text = self.texts.get(text, text)
        values = {v for v in self.values if len(v) >= SURE and not _is_folder(v)}
        return self.mask(_replaced(text, values))

    def mask_error(self, text: str) -> str:
        """Return an error message without values of variables, which may be wrong themselves."""
        return self.mask(_replaced(text, self.values))

    def mask(self, text: str) -> str:
        """Return a text as it may be logged: values of variables are ordinary words there."""
        return without_credentials(_replaced(text, self.secrets))


def _replaced(text: str, values: Iterable[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        for form in {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}:
            if len(value.strip()) >= LEAST and form in text:
                text = text.replace(form, HIDDEN)
    return text


def _is_folder(value: str) -> bool:
    """Tell whether a value is a folder, which is no secret: every path begins with one."""
    return value.startswith("/") and Path(value).is_dir()
