"""Masking: what of a configuration is not for screens and logs, told by its kind.

Four kinds: what has the name of a secret, or stands under `headers:`; what came from a variable or
from a file of its own; users, passwords and queries in URLs; and the texts in an expression that
speaks of such a name, or that look like a key.
"""

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeGuard

HIDDEN: Final = "***"
LEAST: Final = 4
"""Characters of a secret that is looked for inside other texts; a shorter one is in any word."""
SURE: Final = 8
"""The same for what came from a variable, which may be an ordinary word."""

_NAME: Final = re.compile(
    r"pass(?:word|wd|phrase|code|key)?s?(?:$|[^a-z])|pwd|secret|token|credential|bearer|jwt$"
    r"|authorization|signature|(?:^|[^a-z])(?:sig|pin|pw|hmac|otp|key|keys|apikey)(?:$|[^a-z])",
    re.IGNORECASE,
)
_NO_SECRETS: Final = frozenset(("public_key",))
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_USERINFO: Final = re.compile(r"(?<=://)[^\s'\"<>`]*@")
_LOGIN: Final = re.compile(
    r"(?<![^\s'\"=(,\[{])[^\s'\"<>`/:@=(,\[{]+:(?!//)[^\s'\"<>`@]+@(?=[\w\[])"
)
"""As in a URL, without its scheme."""
_QUERY: Final = re.compile(r"[?#][^\s'\"<>`]*=[^\s'\"<>`]*")
_VALUE: Final = re.compile(r"=[^&;#]+")
_BARE_QUERY: Final = re.compile(r"(://[^\s'\"<>`?#]*[?#])[^\s'\"<>`=&]+(?=[\s'\"<>`]|\Z)")
_PRIVATE_KEY: Final = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END|\Z)", re.DOTALL
)
_JWT: Final = re.compile(r"eyJ[\w-]{5,}\.[\w.-]*")
_RANDOM: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[\w+/=.:-]{20,}", re.ASCII)
_QUOTED: Final = re.compile(r"(['\"]).*?(?:\1|\Z)", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Tell whether what has this name is a secret: `api_key`, `apiKey`, `X-Api-Key`, `PIN`."""
    return name not in _NO_SECRETS and _NAME.search(_CAPITAL.sub("_", name)) is not None


def without_credentials(text: str) -> str:
    """Return a text with who logs in, and what is asked for, in its URLs hidden; keys too."""
    text = _JWT.sub(HIDDEN, _PRIVATE_KEY.sub(rf"\1{HIDDEN}", text))
    text = _LOGIN.sub(f"{HIDDEN}@", _USERINFO.sub(f"{HIDDEN}@", text))
    text = _BARE_QUERY.sub(rf"\1{HIDDEN}", text)
    return _QUERY.sub(lambda query: _VALUE.sub(f"={HIDDEN}", query[0]), text)


def without_texts(text: str) -> str:
    """Return a text with all that is quoted in it hidden; a quotation may be cut off."""
    return _QUOTED.sub(rf"\g<1>{HIDDEN}\g<1>", text)


def without_literals(source: str) -> str:
    """Return an expression with the texts hidden that may be secrets.

    Those are all if it names one anywhere (`token=`, `['X-Api-Key']`), else what looks like a key.
    """
    wrapped = f"(\n{source}\n)"
    try:
        nodes = list(ast.walk(ast.parse(wrapped)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return without_texts(source)
    speaks_of_secrets = any(map(is_secret_name, _words(nodes)))
    lines = wrapped.encode().split(b"\n")
    texts = [node for node in nodes if _is_text(node)]
    for node in sorted(texts, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        value = node.value if isinstance(node, ast.Constant) else ""
        if speaks_of_secrets or (isinstance(value, str) and _RANDOM.fullmatch(value)):
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
    """Replace a literal, which may span lines; columns count bytes."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    begin, end = node.col_offset, node.end_col_offset or 0
    if len(lines) <= last or not lines[first][begin : begin + 1].strip():
        return
    lines[first : last + 1] = [lines[first][:begin] + f"'{HIDDEN}'".encode() + lines[last][end:]]


@dataclass(slots=True)
class Masks:
    """What one configuration has that must not be seen."""

    texts: dict[str, str] = field(default_factory=dict)
    """Whole texts with variables in them, to how they are shown."""
    secrets: set[str] = field(default_factory=set)
    """What came from files, and what stands under the name of a secret."""
    values: set[str] = field(default_factory=set)
    """What came from variables."""

    def add_variable(self, name: str, value: str) -> None:
        """Note the value of a variable that was used."""
        (self.secrets if is_secret_name(name) else self.values).add(value)

    def add_secret(self, value: str) -> None:
        """Note a secret."""
        self.secrets.add(value)

    def shown(self, text: str) -> str:
        """Return a text as a person may see it who asks for the configuration."""
        text = self.texts.get(text, text)
        values = {v for v in self.values if len(v) >= SURE and not _is_folder(v)}
        return self.mask(_replaced(text, values))

    def refused(self, text: str) -> str:
        """Return what is said of a mistake, which may be in what came from a variable."""
        return self.mask(_replaced(text, self.values))

    def mask(self, text: str) -> str:
        """Return a text as it may go to a log: variables are ordinary words there."""
        return without_credentials(_replaced(text, self.secrets))


def _replaced(text: str, values: Iterable[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        for form in {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}:
            if len(value.strip()) >= LEAST and form in text:
                text = text.replace(form, HIDDEN)
    return text


def _is_folder(value: str) -> bool:
    """Folders are no secrets, and all paths begin with one."""
    return value.startswith("/") and Path(value).is_dir()
