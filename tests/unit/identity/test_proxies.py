"""Only the proxies that the configuration trusts are believed."""

import pytest

from eventhub.config import Auth, Proxy
from eventhub.errors import Misconfigured
from eventhub.identity.authenticator import Authenticator


def test_a_trusted_address_that_is_none_stops_the_hub() -> None:
    with pytest.raises(Misconfigured, match=r"auth: proxy: trusted: .*nginx"):
        Authenticator(Auth(proxy=Proxy(header="X-User", trusted=["nginx"])))
