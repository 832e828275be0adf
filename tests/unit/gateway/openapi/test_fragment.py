"""Answers of several types share one schema; errors of pages are JSON or HTML."""

from eventhub.gateway.openapi.fragment import content, error_page, file_responses, reference


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


def test_a_part_of_a_file_says_which_part_it_is() -> None:
    found = file_responses("csv", "EventHub-Rows")
    assert set(found["200"]["headers"]) == {"ETag", "EventHub-Rows"}
    assert set(found["206"]["headers"]) == {"ETag", "EventHub-Rows", "Content-Range"}
    assert {"text/csv"} == set(found["200"]["content"]) == set(found["206"]["content"])
    assert {"304", "412", "416"} <= set(found)
