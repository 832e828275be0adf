"""The style of the pages has a rule for every class that they use, and loads nothing."""

import re

from eventhub.gateway.table_style import STYLE
from tests.unit.gateway.test_sql_page import answer
from tests.unit.gateway.test_sql_page import page as sql
from tests.unit.gateway.test_table_page import ROW
from tests.unit.gateway.test_table_page import page as table

PLAIN = {"short"}
"""Classes of cells that look like any other."""


def test_every_class_of_the_pages_has_a_rule() -> None:
    lines = b'{"text":null,"n":1}'
    pages = table("id=r1").render(ROW) + sql(sql="SELECT $x").render_answer(answer(), lines)
    used = {name for each in re.findall(rb'class="([^"]*)"', pages) for name in each.split()}
    assert used
    styled = set(re.findall(r"\.([a-z]+)\b", STYLE))
    assert {name.decode() for name in used} - styled - PLAIN == set()


def test_both_pages_have_the_style() -> None:
    assert f"<style>{STYLE}</style>".encode() in sql().render()
    assert f"<style>{STYLE}</style>".encode() in table().render(b"")


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert not re.search(r"url\(|@import|https?:", STYLE)


def test_there_are_colours_for_dark_and_light_screens() -> None:
    [dark] = re.findall(r"@media \(prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}", STYLE, re.S)
    [light] = re.findall(r"\A\s*:root \{(.*?)\}", STYLE, re.S)
    names = [set(re.findall(r"--[a-z]+", text)) for text in (light, dark)]
    assert names[0] == names[1] == set(re.findall(r"var\((--[a-z]+)\)", STYLE))
