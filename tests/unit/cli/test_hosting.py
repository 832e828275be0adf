"""A hub that cannot have its address says so before anything else of it starts."""

import socket
from pathlib import Path

import pytest

from eventhub.cli.hosting import run_hub
from eventhub.config import load
from eventhub.errors import EventHubError


def test_an_address_in_use_is_named_and_nothing_was_started(tmp_path: Path) -> None:
    file = tmp_path / "eventhub.yaml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file.write_text(f"server: {{port: {port}}}\nurl: {{}}\n")
        announced: list[str] = []
        config = load(file, environ={})
        with pytest.raises(EventHubError, match=str(port)):
            run_hub(config, ("gateway", "projector"), announced.append, lambda: config)
    assert announced == []
    assert not (tmp_path / "data").exists()
