"""People log in and out at a provider on another site, in a browser with scripts or without."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.hub import Hub, running_hub
from tests.openid_provider import CLIENT, SECRET, Provider, running_provider

CONFIG = """
url:
  login: {{pattern: /login, handler: SimpleAuth, kwargs: {{credentials: {{zoe: long enough}}}}}}
  company:
    pattern: /sso
    handler: OIDCAuth
    kwargs:
      title: Example & Sons
      issuer: {issuer}
      client_id: {client}
      client_secret: {secret}
      user_claim: email
      logout: end_session
  logout: {{pattern: /logout, handler: LogoutHandler}}
  page:
    pattern: /
    handler: FileHandler
    kwargs: {{path: $YAMLPATH/index.html, auth: true}}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider(host="localhost") as provider:
        yield provider


@pytest.fixture(scope="module")
def hub(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    config = CONFIG.format(issuer=provider.issuer, client=CLIENT, secret=SECRET)
    with running_hub(tmp_path_factory.mktemp("hub"), config, {"index.html": "<h1>Inside"}) as hub:
        yield hub


@pytest.mark.parametrize("has_scripts", [True, False])
def test_people_log_in_and_out_at_another_site(
    hub: Hub, provider: Provider, browser: Browser, has_scripts: bool
) -> None:
    context = browser.new_context(java_script_enabled=has_scripts)
    context.set_default_timeout(20_000)
    try:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{hub.url}/")
        page.get_by_role("link", name="Log in with Example & Sons").click()
        expect(page.get_by_role("heading")).to_have_text("Provider")
        page.get_by_label("Name").fill("ann")
        page.get_by_role("button").click()
        expect(page.get_by_role("heading")).to_have_text("Inside")
        expect(page).to_have_url(f"{hub.url}/")
        page.goto(f"{hub.url}/logout")
        expect(page.get_by_text("ann@example.org")).to_be_visible()
        page.get_by_role("button", name="Log out", exact=True).click()
        expect(page).to_have_url(f"{hub.url}/login?next=/")  # by way of the provider
        page.get_by_role("link", name="Log in with Example & Sons").click()
        expect(page.get_by_role("heading")).to_have_text("Provider")  # which asks again
        assert "end with a hint" in provider.do()
        assert [text for text in complaints if "Security Policy" in text] == []
    finally:
        context.close()


def test_a_login_that_is_refused_says_so_and_can_be_tried_again(
    hub: Hub, provider: Provider, browser: Browser
) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{hub.url}/sso?next=/")
        page.get_by_label("Name").fill("bob")
        page.get_by_role("button").click()
        expect(page.get_by_role("alert")).to_have_text("Your e-mail address is not verified there.")
        expect(page.get_by_role("link", name="Try again")).to_be_visible()
        page.goto(f"{hub.url}/")
        expect(page).to_have_url(f"{hub.url}/login?next=/")
    finally:
        context.close()
