"""People log in and out by keyboard, in a browser that runs no scripts."""

from playwright.sync_api import Browser, expect

from tests.e2e.gateway.test_login import CONFIG
from tests.e2e.hub import HubFactory


def test_people_log_in_and_out_in_a_browser_without_scripts(
    hub_factory: HubFactory, browser: Browser
) -> None:
    hub = hub_factory(CONFIG.replace("/pages", ""), files={"index.html": "<h1>Inside</h1>"})
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{hub.url}/")
        expect(page.get_by_role("heading")).to_have_text("The <club>")
        expect(page.get_by_label("User name")).to_be_focused()
        page.keyboard.type("ann")
        page.keyboard.press("Tab")
        page.keyboard.type("a guess")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("do not belong together")
        expect(page.get_by_label("Password")).to_be_focused()
        page.keyboard.type("correct horse")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading")).to_have_text("Inside")
        page.goto(f"{hub.url}/logout")
        page.get_by_role("button", name="Log out", exact=True).click()
        expect(page.get_by_role("heading")).to_have_text("The <club>")
        page.goto(f"{hub.url}/")
        expect(page).to_have_url(f"{hub.url}/login?next=/")
    finally:
        context.close()
