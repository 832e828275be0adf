"""A hub with a console, and data of a shop and its chat, for tests and images of each view."""

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, BrowserContext, Page

from tests.e2e.hub import Hub

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
TAKES_IMAGES: Final = "CONSOLE_IMAGES" in os.environ
TOKEN: Final = "an-operators-token"
CONFIG: Final = f"""
server: {{admin: {{token: {TOKEN}}}}}
console: {{auth: {{membership: {{id: [ann, bob]}}}}}}
url:
  login:
    pattern: /login
    handler: SimpleAuth
    kwargs: {{credentials: {{ann: secret, bob: secret, eve: secret}}}}
  messages:
    pattern: /messages
    handler: MessageHandler
    kwargs: {{columns: {{topic: TEXT, body: TEXT}}}}
  orders:
    pattern: /orders
    handler: MessageHandler
    kwargs:
      columns: {{customer: TEXT, amount: "DECIMAL(10,2)", paid: BOOLEAN, items: JSON}}
      auth: {{membership: {{id: [ann]}}}}
  support:
    pattern: /support
    handler: MessageHandler
    kwargs: {{columns: {{topic: TEXT, body: TEXT}}}}
  sql:
    pattern: /sql
    handler: SQLHandler
    kwargs: {{auth: {{membership: {{id: [ann]}}}}}}
"""
ELSEWHERE: Final = {"X-Forwarded-For": "192.0.2.7"}
"""Makes a browser of this machine one of another, behind a proxy."""
FOLLOWED: Final = ("", "topic=Help", "topic=News", "topic=Help&topic=Sales", "body~=invoice")
"""The filters of whoever follows the chat."""
TOPICS: Final = ("Help", "News", "Sales")
BODIES: Final = (
    "Where is my parcel? It should have been here on Monday.",
    "We open at nine from next week on.",
    "Three more of the green ones, please.",
    "The invoice has the wrong address.",
)


UNKNOWN_KEY: Final = """url:
  orders:
    pattern: /orders
    handler: MessageHandler
    kwargs:
      colums: {customer: TEXT, amount: INTEGER}
"""
"""A text to check, with a mistake."""
NEW_RULE: Final = """url:
  orders:
    pattern: /orders
    handler: MessageHandler
    kwargs:
      columns: {customer: TEXT, amount: DOUBLE}
      auth: {membership: {id: [ann]}}
      prepare: msg.update(amount=0)
      rules: {create: amount>~=100}
"""
"""A text to rehearse, with a hook that is not run."""


def mailing_config(port: int) -> str:
    """Return a file with an alert, for a mail server at a port."""
    alert = """
      alert:
        to: sales@example.org
        condition: amount>~=100
        subject: Order of {{ customer }}
        body: "{{ customer }} ordered for {{ amount }} euros.\\n"
"""
    email = f"email: {{shop: {{host: 127.0.0.1, port: {port}, email: shop@example.org}}}}\n"
    place = "      auth: {membership: {id: [ann]}}\n  support:"
    assert place in CONFIG
    return CONFIG.replace(place, alert.lstrip("\n") + place) + email


def send(url: str, message: Any, headers: dict[str, str] | None = None) -> dict[str, str]:
    """POST a message, and return the headers of the answer."""
    kind = {"Content-Type": "application/json"}
    asked = Request(url, json.dumps(message).encode(), {**kind, **(headers or {})})
    with urlopen(asked) as answer:
        return dict(answer.headers)


def fill(hub: Hub) -> dict[str, str]:
    """Write rows of a shop and its chat as `ann`; return her cookie."""
    login = send(f"{hub.url}/login", {"user": "ann", "password": "secret"})
    ann = {"Cookie": login["Set-Cookie"].partition(";")[0]}
    url = f"{hub.url}/messages"
    for number in range(30):
        message = {"topic": TOPICS[number % 3], "body": BODIES[number % 4]}
        send(url, {"id": f"m{number}", **message}, ann)
    send(url, {"_method": "PUT", "id": "m1", "body": "We open at ten from next week on."}, ann)
    for number in range(12):
        order = {"customer": f"Customer {number % 5}", "amount": f"{number * 13}.50"}
        send(f"{hub.url}/orders", {**order, "paid": number % 2 == 0, "items": [number]}, ann)
    return ann


@contextmanager
def chatting(hub: Hub, headers: dict[str, str]) -> Iterator[None]:
    """Write a few messages a second to the chat."""
    stop = Event()

    def write() -> None:
        number = 0
        while not stop.wait(0.05 + 0.3 * abs((time.monotonic() % 40) / 20 - 1)):
            message = {"topic": TOPICS[number % 3], "body": BODIES[number % 4]}
            send(f"{hub.url}/support", message, headers)
            number += 1

    thread = Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def opened(
    hub: Hub, browser: Browser, user: str = "ann", **options: Any
) -> Iterator[BrowserContext]:
    """A browser in which a user is logged in."""
    context = browser.new_context(**options)
    try:
        login = {"user": user, "password": "secret"}
        assert context.request.post(f"{hub.url}/login", data=login).ok
        yield context
    finally:
        context.close()


def take_image(page: Page, name: str) -> None:
    """Keep what is seen as an image of docs/console.md."""
    session = page.context.new_cdp_session(page)
    found = session.send("Page.captureScreenshot", {"format": "webp", "quality": 82})
    (IMAGES / f"console-{name}.webp").write_bytes(base64.b64decode(found["data"]))
