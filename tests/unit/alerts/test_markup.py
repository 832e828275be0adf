"""No text, escaped or not, produces a link that runs code; ordinary links are kept."""

from html import escape

import pytest

from eventhub.alerts.markup import markdown_to_html


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "[l](javascript:alert(1))",
        "[l](JaVaScript:alert(1))",
        "[l](java\tscript:alert(1))",
        "[l](&#106;avascript:alert(1))",
        "[l](javascript&colon;alert(1))",
        "[l](javascript\\:alert(1))",
        "[l]( <javascript:alert(1)> )",
        "[l][1]\n\n[1]: javascript:alert(1)",
        "![i](data:text/html,x)",
        "[l](vbscript:x)",
    ],
)
def test_a_link_that_could_run_code_loses_its_address(text: str, escaped: bool) -> None:
    html = markdown_to_html(escape(text) if escaped else text)
    assert 'href=""' in html or 'src=""' in html
    assert "script:" not in html.replace("&#58;", ":").replace("&colon;", ":")


@pytest.mark.parametrize(
    "address", ["https://a.example/b:c?d=e:f", "mailto:a@b.example", "a/b:c", "#x:y", "cid:logo"]
)
def test_an_ordinary_link_stays(address: str) -> None:
    assert f'href="{address}"' in markdown_to_html(f"[l]({address})")
