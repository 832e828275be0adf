"""`import:` and keys with a condition work as in Gramex."""

import pytest

from tests.unit.config.folder import CHAT, Folder, messages


@pytest.mark.parametrize("section", ["'*/chat.yaml'", "[one/chat.yaml, two/chat.yaml]"])
def test_imports_may_be_a_pattern_or_a_list(folder: Folder, section: str) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    folder.write("two/chat.yaml", CHAT.format(name="two", who="them", port=2))
    config = folder.load(f"variables: {{WHO: us}}\nimport: {section}\n")
    assert [each.name for each in messages(config)] == ["one", "two"]
    assert {each.headers["who"] for each in messages(config)} == {"us"}


def test_key_with_a_condition_counts_only_if_it_holds(folder: Folder) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    config = folder.load(
        """
        variables: {PLACE: here}
        import:
          yes if PLACE == 'here': one/chat.yaml
          no if socket.gethostname() in {'no such host'}: none.yaml
        server:
          port: 1
          port if PLACE == 'here' and os.path.exists('/'): 2
          port if PLACE == 'there': 3
        """
    )
    assert ([each.name for each in messages(config)], config.server.port) == (["one"], 2)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "import:\n  ui: {path: $GRAMEXAPPS/ui/gramex.yaml, YAMLURL: /ui/}",
            "hub.yaml:2: import.ui: $GRAMEXAPPS is a folder of Gramex and is not set;"
            " nothing is imported",
        ),
        (
            "import:\n  a if gramex_x.y: none.yaml",
            "hub.yaml:2: import.a if gramex_x.y: name 'gramex_x' is not defined: it is neither one"
            " of YAMLURL, YAMLPATH, nor a module that is installed or in the folder of the file;"
            " nothing is imported",
        ),
        (
            "import:\n  a: {path: one/chat.yaml, KWARGS: {title: Admin}}",
            "hub.yaml:2: import.a.KWARGS: a variable must be text, a number, true or false;"
            " this one is ignored",
        ),
        (
            "variables:\n  themes: [default, dark]",
            "hub.yaml:2: variables.themes: a variable must be text, a number, true or false;"
            " this one is ignored",
        ),
    ],
)
def test_import_that_only_gramex_needs_is_skipped_with_a_warning(
    folder: Folder, text: str, warning: str
) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    assert folder.warnings(text) == [warning]


def test_folder_of_gramex_is_imported_if_it_is_set(folder: Folder) -> None:
    folder.write("apps/ui.yaml", CHAT.format(name="ui", who="them", port=1))
    text = "import: $GRAMEXAPPS/ui.yaml"
    config = folder.load(text, {"GRAMEXAPPS": str(folder.path / "apps")})
    assert [each.name for each in messages(config)] == ["ui"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "server:\n  a if nosuch: 1",
            "hub.yaml:2: server.a if nosuch: name 'nosuch' is not defined",
        ),
        (
            "server:\n  port if 1/0: 1",
            "hub.yaml:2: server.port if 1/0: the condition raised ZeroDivisionError",
        ),
    ],
)
def test_condition_that_cannot_be_evaluated_is_refused(
    folder: Folder, text: str, problem: str
) -> None:
    (reported,) = folder.problems(text)
    assert reported.startswith(problem)
