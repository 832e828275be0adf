"""Only operators read of what only operators may open."""

from eventhub.config import LogoutEndpoint, OidcEndpoint, SimpleAuthEndpoint
from eventhub.gateway.openapi.pages import hub_fragment, login_fragment, oidc_fragment


def test_pages_of_operators_are_described_to_operators() -> None:
    own = {"/healthz", "/readyz", "/openapi.json"}
    assert set(hub_fragment(is_operator=False, has_copies=True).paths) == own
    own |= {"/metrics", "/-/connections", "/-/vitals"}
    own |= {"/-/configuration", "/-/configuration/rehearsal", "/-/alerts", "/-/alerts/retry"}
    own |= {"/-/alerts/preview", "/-/alerts/backtest"}
    assert set(hub_fragment(is_operator=True, has_copies=False).paths) == own


def test_a_login_takes_a_name_and_a_password_and_a_logout_neither() -> None:
    entry = SimpleAuthEndpoint(name="login", pattern="/login")
    post = login_fragment("login", entry).paths["/login"]["post"]
    json = post["requestBody"]["content"]["application/json"]["schema"]
    assert json["required"] == ["user", "password"]
    leave = login_fragment("out", LogoutEndpoint(name="out", pattern="/logout"))
    post = leave.paths["/logout"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"]["required"] == []
    schemas = {kind: each["schema"] for kind, each in post["requestBody"]["content"].items()}
    assert schemas["application/json"]["properties"] == {"everywhere": {"type": "boolean"}}


def test_a_login_at_a_provider_is_for_browsers() -> None:
    entry = OidcEndpoint(name="sso", pattern="/sso", client_id="hub", issuer="https://id.example")
    found = oidc_fragment("sso", entry)
    (operation,) = found.paths["/sso"].values()
    assert {"next", "code", "state"} <= {each["name"] for each in operation["parameters"]}
    assert "200" not in operation["responses"]
