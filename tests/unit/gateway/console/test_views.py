"""A view is for those who may see what it shows; the others learn why not."""

import re
from pathlib import Path

from eventhub.gateway.console import views

WEB = Path(views.__file__).parent / "web"


def test_a_caller_may_have_the_views_of_what_the_caller_may_see() -> None:
    found = views.views_for(["operator"])
    assert list(found) == list(views.VIEWS)
    for name, need in views.VIEWS.items():
        assert found[name]["needs"] == need
        assert (found[name]["why_not"] is None) is (need == "operator")
    assert all(each["why_not"] for each in views.views_for([]).values())


def test_the_page_and_the_hub_know_the_same_views() -> None:
    """Each has a module, a title, and a key of its own."""
    line = (
        r'^  (\w+): \{ title: "[^"]+".* key: "(\w)",'
        r' load: \(\) => import\("\./views/([\w-]+)"\) \},$'
    )
    lines = re.findall(line, (WEB / "views.ts").read_text("utf-8"), re.MULTILINE)
    assert [name for name, _, _ in lines] == list(views.VIEWS)
    assert len({key for _, key, _ in lines}) == len(lines)
    for _, _, module in lines:
        assert (WEB / "views" / f"{module}.tsx").is_file()
