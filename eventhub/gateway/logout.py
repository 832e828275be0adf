"""Logout: the page of a LogoutHandler."""

from aiohttp import web

from eventhub.config import LogoutEndpoint
from eventhub.gateway.body import Bodies
from eventhub.gateway.form_page import Form, FormPage, html, next_of, see, user_of
from eventhub.gateway.login_page import logout_form
from eventhub.identity.audit import note_login
from eventhub.identity.proxies import Proxies
from eventhub.identity.sessions import form_token, log_out


class LogoutPage(FormPage):
    """The page of one LogoutHandler. A GET only asks: a link of another site must not log out."""

    def __init__(self, entry: LogoutEndpoint, bodies: Bodies, proxies: Proxies) -> None:
        super().__init__(bodies, proxies)
        self._entry = entry

    def _show(self, request: web.Request, *, wrong: str = "", status: int = 200) -> web.Response:
        user = user_of(request)
        token = "" if user is None else form_token(request)
        return html(logout_form(self._entry.title, token, user, wrong=wrong), status)

    async def _take(self, request: web.Request, form: Form) -> web.StreamResponse:
        if (user := user_of(request)) is not None:
            log_out(request)
            note_login(request, user, "logged_out", self._proxies)
        if form.is_json:
            return web.json_response({"user": None}, headers={"Cache-Control": "no-store"})
        return see(next_of(request, self._entry.redirect))
