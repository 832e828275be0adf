"""A folder of configuration files, as an operator has one."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from eventhub.config import Config, MessageEndpoint, load
from eventhub.errors import Misconfigured


class Folder:
    """A folder with configuration files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"), "utf-8")
        return file

    def load(self, text: str, environ: dict[str, str] | None = None, **options: Any) -> Config:
        return load(self.write("hub.yaml", text), environ=environ or {}, **options)

    def problems(self, text: str, environ: dict[str, str] | None = None) -> list[str]:
        """Return the problems that loading the text reports, without the folder."""
        with pytest.raises(Misconfigured) as caught:
            self.load(text, environ)
        return caught.value.message.replace(f"{self.path}/", "").split("\n")

    def warnings(self, text: str) -> list[str]:
        return [line.replace(f"{self.path}/", "") for line in self.load(text).warnings]


def endpoint(kwargs: str, name: str = "chat") -> str:
    """Return a file with one MessageHandler, whose kwargs begin in line 6."""
    head = f"url:\n  {name}:\n    pattern: /chat\n    handler: MessageHandler\n    kwargs:\n"
    return head + "".join(f"      {line}\n" for line in dedent(kwargs).strip().split("\n"))


def messages(config: Config) -> tuple[MessageEndpoint, ...]:
    return config.of_kind(MessageEndpoint)


BLANK = ["", "null", "~", "{}", "[]", "0", "0.0", "''", "' '"]

CHAT = """
    variables: {{WHO: {who}}}
    url:
      {name}:
        pattern: /$YAMLURL/{name}
        handler: MessageHandler
        kwargs: {{headers: {{who: $WHO, at: $YAMLPATH}}, table: {name}}}
    server: {{port: {port}, host: '{name}'}}
"""
"""A file to import; `format` sets who, name and port."""
