"""A FileHandler serves a folder, to those whom its rule lets in."""

import pytest

from eventhub.config import FileEndpoint
from tests.unit.config.folder import Folder


@pytest.mark.parametrize(
    ("pattern", "served"), [("/(.*)", "/"), ("/static/.*", "/static/"), ("/a.html", "/a.html")]
)
def test_wildcard_at_the_end_of_a_pattern_is_its_folder(
    folder: Folder, pattern: str, served: str
) -> None:
    (folder.path / "static").mkdir()
    config = folder.load(
        f"""
        url:
          files:
            pattern: '{pattern}'
            handler: FileHandler
            kwargs: {{path: $YAMLPATH/static, default_filename: x.html, template: true}}
        """
    )
    (files,) = config.of_kind(FileEndpoint)
    assert (files.pattern, files.path, files.default_filename) == (
        served,
        folder.path / "static",
        "x.html",
    )
    assert len(config.warnings) == 1


def test_files_have_the_rule_of_the_file(folder: Folder) -> None:
    config = folder.load(
        "url: {a: {pattern: /a, handler: FileHandler, kwargs: {path: ., auth: true}}}"
    )
    assert config.of_kind(FileEndpoint)[0].auth is True
    (problem,) = folder.problems(
        "url: {a: {pattern: /a, handler: FileHandler, kwargs: {path: ., auth: }}}"
    )
    assert "auth is blank" in problem


def test_file_handler_without_a_path_is_refused(folder: Folder) -> None:
    problems = folder.problems("url: {a: {pattern: /a, handler: FileHandler}}")
    assert problems == ["hub.yaml:1: url.a.kwargs: path is missing"]


def test_headers_of_a_file_handler_are_text(folder: Folder) -> None:
    config = folder.load(
        "url: {a: {pattern: /a, handler: FileHandler,"
        " kwargs: {path: a.html, headers: {X-Age: 60, X-On: true, X-None: }}}}"
    )
    (served,) = config.of_kind(FileEndpoint)
    assert served.headers == {"X-Age": "60", "X-On": "true", "X-None": ""}
