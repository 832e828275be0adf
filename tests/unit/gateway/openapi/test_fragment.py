"""Answers of several types share one schema; errors of pages are JSON or HTML."""

from eventhub.gateway.openapi.fragment import content, error_page, reference


def test_each_type_of_an_answer_has_the_schema() -> None:
    assert content("text/csv") == {"text/csv": {}}
    schema = reference("Error")
    assert content("a/b", "c/d", schema=schema) == {
        "a/b": {"schema": schema},
        "c/d": {"schema": schema},
    }


def test_the_error_of_a_page_is_json_or_html() -> None:
    assert set(error_page(400)["content"]) == {"application/json", "text/html"}
    assert error_page(400)["headers"] == {}
    assert "Retry-After" in error_page(429)["headers"]
