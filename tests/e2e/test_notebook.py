"""The notebook of docs/examples runs from its first cell to its last, and its frames are equal."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.e2e.command import post
from tests.e2e.hub import HubFactory

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "notebook"


def test_the_notebook_comes_to_the_same_frames_by_file_and_by_sql(
    hub_factory: HubFactory,
) -> None:
    text = (FOLDER / "eventhub.yaml").read_text()
    hub = hub_factory(text.replace("flight_port: 8815", "flight_port: 0"))
    url = f"{hub.url}/chat"
    post(url, id="m1", topic="Help", body="how?", votes=2, price=1.5)
    post(url, id="m2", topic="Help", votes=0, seen="2026-01-02T03:04:05+01:00")
    post(url, id="m3", topic="News", body="ünï", votes=3)
    post(url, id="m1", _method="PUT", votes=4)
    seen = json.dumps({"sql": "SELECT 1 AS one", "min_seq": 4}).encode()
    urlopen(Request(f"{hub.url}/sql", seen), timeout=30).close()
    port = re.search(r'"port": (\d+), "event": "flight_listening"', hub.stderr())
    assert port is not None
    names: dict[str, Any] = {}
    cells = json.loads((FOLDER / "questions.ipynb").read_text())["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            code = "".join(cell["source"]).replace("http://127.0.0.1:8080", hub.url)
            exec(code.replace("8815", port[1]), names)
    assert names["topics"].values.tolist() == [["Help", 1, 4], ["News", 1, 3]]
    assert list(names["first"]["votes"]) == [2]
