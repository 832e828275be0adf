"""A configuration has its endpoints in one list, told apart by their types."""

from eventhub.config import FileEndpoint, MessageEndpoint
from tests.unit.config.folder import Folder


def test_endpoints_of_one_kind_are_in_the_order_of_the_file(folder: Folder) -> None:
    config = folder.load(
        """
        url:
          b: {pattern: /b, handler: MessageHandler}
          files: {pattern: /, handler: FileHandler, kwargs: {path: .}}
          a: {pattern: /a, handler: MessageHandler}
        """
    )
    assert [each.name for each in config.endpoints] == ["b", "files", "a"]
    assert [each.name for each in config.of_kind(MessageEndpoint)] == ["b", "a"]
    assert [each.name for each in config.of_kind(FileEndpoint)] == ["files"]


def test_section_that_is_absent_has_its_defaults(folder: Folder) -> None:
    config = folder.load("")
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.auth.jwt is None
    assert config.auth.session.max_age == 31 * 86400
    assert config.data == folder.path / "data"
