"""`python -m eventhub_client types URL`: print Python types of the rows and messages of a URL."""

import os
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx

from eventhub_client.answers import error_in
from eventhub_client.credentials import headers_of
from eventhub_client.errors import EventHubError
from eventhub_client.typed_dicts import module_of

SECONDS = 30.0
USAGE = """usage: python -m eventhub_client types URL

Print Python types of the rows and messages of an endpoint, such as http://127.0.0.1:8080/messages.
EVENTHUB_TOKEN is sent as a bearer token, if it is set.
"""


def main(words: Sequence[str]) -> int:
    """Run the command; return the exit status: 0, 1 if there are no types, 2 after a misuse."""
    if len(words) != 2 or words[0] != "types" or words[1].startswith("-"):
        sys.stderr.write(USAGE)
        return 2
    try:
        url = urlsplit(words[1])._replace(query="", fragment="").geturl()
        sys.stdout.write(_types(url, os.environ.get("EVENTHUB_TOKEN")))
    except (EventHubError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        sys.stderr.write(f"eventhub_client: {words[1]}: {error}\n")
        return 1
    return 0


def _types(url: str, token: str | None) -> str:
    answer = httpx.get(f"{url}?_schema", headers=headers_of(token), timeout=SECONDS)
    if not answer.is_success:
        raise error_in(answer.status_code, answer.content)
    return module_of(answer.json(), url)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
