"""Every command of docs/deployment.md is run by a test, or has a reason why not."""

from pathlib import Path

from tests.deploy.commands import BY_OTHERS, INSTEAD, NOT_RUN, WALKED, blocks, headings

ROOT = Path(__file__).parents[2]


def test_every_command_is_run_by_a_test_or_has_a_reason() -> None:
    assert headings() == WALKED | BY_OTHERS.keys() | NOT_RUN.keys()
    assert all((ROOT / path).exists() for path in BY_OTHERS.values())
    walk = (ROOT / "tests" / "deploy" / "test_three_machines.py").read_text("utf-8")
    assert [heading for heading in WALKED if f'"{heading}"' not in walk] == []


def test_what_is_run_instead_stands_for_a_command_of_the_page() -> None:
    text = "\n".join(block for heading in WALKED for block in blocks(heading))
    assert [command for command in INSTEAD if command not in text] == []
