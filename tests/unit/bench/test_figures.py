"""A row says whether its mark is reached; a page takes the table between its markers."""

import pytest

from tests.bench.figures import BEGIN, END, Figure, Limit, number, with_table


@pytest.mark.parametrize(
    ("value", "is_ceiling", "reached"),
    [(100.0, False, True), (99.0, False, False), (100.0, True, True), (101.0, True, False)],
)
def test_a_mark_is_the_least_or_the_most(value: float, is_ceiling: bool, reached: bool) -> None:
    figure = Figure(what="x", value=value, unit="", mark=100.0, is_ceiling=is_ceiling)
    assert figure.is_reached is reached


@pytest.mark.parametrize(("value", "reached"), [(200.0, True), (199.0, False)])
def test_a_mark_can_be_a_multiple_of_the_limit(value: float, reached: bool) -> None:
    limit = Limit(name="limit", value=100.0)
    figure = Figure(what="x", value=value, unit="", mark=2.0, of_limit=True, limit=limit)
    assert figure.is_reached is reached


def test_a_row_has_value_mark_verdict_limit_and_ratio() -> None:
    limit = Limit(name="bare", value=400.0)
    figure = Figure(what="x", value=200.0, unit="a second", mark=1000.0, limit=limit, more="y")
    assert figure.row() == "| x | 200 a second | 1,000 | no | bare: 400 | 0.5 | y |"


def test_a_figure_without_a_mark_reaches_nothing_and_misses_nothing() -> None:
    assert Figure(what="x", value=1.0, unit="").is_reached is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.234, "1.23"), (123.4, "123"), (1234.0, "1,230"), (5_333_333.0, "5,330,000")],
)
def test_a_number_has_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = f"before\n{BEGIN}old\n{END}after\n"
    assert with_table(page, "new\n") == f"before\n{BEGIN}\nnew\n\n{END}after\n"
    assert with_table(with_table(page, "newer\n"), "new\n") == with_table(page, "new\n")


def test_a_page_without_markers_is_left_alone() -> None:
    with pytest.raises(ValueError, match="bench"):
        with_table("before\nafter\n", "new\n")
