"""Logout: the page of a LogoutHandler."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from eventhub.config import LogoutEndpoint
from eventhub.errors import Rejected, Unavailable
from eventhub.gateway.body import Bodies
from eventhub.gateway.form_page import Form, FormPage, html, next_of, see, user_of
from eventhub.gateway.login_page import EVERYWHERE, leaving_page, logout_form
from eventhub.identity.audit import note_logout
from eventhub.identity.pending import provider_of
from eventhub.identity.proxies import Proxies
from eventhub.identity.session_cookie import session_of
from eventhub.identity.sessions import form_token, log_out

if TYPE_CHECKING:
    from eventhub.gateway.oidc import OidcPage


class LogoutPage(FormPage):
    """The page of one LogoutHandler. A GET only asks: a link of another site must not log out.

    Args:
        entry: of the file.
        bodies: limits what clients send.
        proxies: the proxies whose headers are trusted.
        providers: the pages of the OIDCAuth entries, by name.
    """

    example = f'{{"{EVERYWHERE}": true}}'

    def __init__(
        self,
        entry: LogoutEndpoint,
        bodies: Bodies,
        proxies: Proxies,
        providers: "Mapping[str, OidcPage] | None" = None,
    ) -> None:
        super().__init__(bodies, proxies)
        self._entry = entry
        self._providers = providers or {}

    def _show(self, request: web.Request, *, wrong: str = "", status: int = 200) -> web.Response:
        user = user_of(request)
        token = "" if user is None else form_token(request)
        return html(logout_form(self._entry.title, token, user, wrong=wrong), status)

    async def _take(self, request: web.Request, form: Form) -> web.StreamResponse:
        everywhere = form.fields.get(EVERYWHERE, "false")
        if everywhere not in ("true", "false"):  # otherwise other logins would go on unnoticed
            raise Rejected("bad_body", f"{EVERYWHERE} must be true or false")
        name, id_token = provider_of(session_of(request))
        if (user := user_of(request)) is not None:
            await log_out(request, everywhere=everywhere == "true")
            note_logout(request, user, self._proxies)
        if form.is_json:
            return web.json_response({"user": None}, headers={"Cache-Control": "no-store"})
        leave = await self._leave(request, name, id_token)
        return see(next_of(request, self._entry.redirect)) if leave is None else leave

    async def _leave(
        self, request: web.Request, name: str, id_token: str | None
    ) -> web.Response | None:
        """Return the page that goes on to the provider of the login, if its session ends too."""
        provider = self._providers.get(name)
        if provider is None:
            return None
        try:
            place = await provider.end_session_url(request, id_token, self._entry.redirect)
        except Unavailable:  # the user is logged out here, whatever the provider does
            return html(leaving_page(self._entry.title, provider.entry.title, None))
        if place is None:
            return None
        return html(leaving_page(self._entry.title, provider.entry.title, place))
