"""Login page: the forms with which users log in and out, as HTML.

There is no script in it and nothing of other sites, and its policy allows none. Everything that a
client or the file says is escaped.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --edge: #8a93a0; --soft: #525b68; --link: #0b57b0;
  --text: #14181f; --page: #f3f5f8; --card: #fff; --wrong: #a4161a }
@media (prefers-color-scheme: dark) {
  :root { --edge: #6b7482; --soft: #a9b2bf; --link: #8ab8ff; --text: #e8ebf0; --page: #14171c;
    --card: #1e232b; --wrong: #ff9d9d }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 24rem; padding: 2rem; background: var(--card);
  border: 1px solid var(--edge); border-radius: .75rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1.25rem; overflow-wrap: anywhere }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600 }
input { width: 100%; font: inherit; padding: .6rem .7rem; color: inherit; background: transparent;
  border: 1px solid var(--edge); border-radius: .4rem }
button { width: 100%; margin-top: 1.5rem; font: inherit; font-weight: 600; padding: .65rem;
  color: var(--card); background: var(--link); border: 1px solid var(--link); border-radius: .4rem;
  cursor: pointer }
button.second { margin-top: .75rem; color: var(--link); background: transparent }
input:focus-visible, button:focus-visible, a:focus-visible {
  outline: 3px solid var(--link); outline-offset: 2px
}
p { margin: 1rem 0 0; overflow-wrap: anywhere }
a { color: var(--link) }
.soft { color: var(--soft) }
.wrong { color: var(--wrong); font-weight: 600; border-inline-start: 4px solid var(--wrong);
  padding-inline-start: .75rem }
"""
_STYLE_HASH: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
# In a frame, the page around it could take the click, or what is typed.
LOGIN_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
}
EVERYWHERE: Final = "everywhere"
"""The field that ends all logins of the user."""
TOKEN_FIELD: Final = "_xsrf"  # noqa: S105 - a name, which Gramex and Tornado use too
"""The field with the token of the form."""


def login_form(
    title: str,
    token: str,
    *,
    user: str = "",
    wrong: str = "",
    others: Mapping[str, str] | None = None,
) -> bytes:
    """Return the page with which a user logs in.

    Args:
        title: its heading.
        token: of the form.
        user: the name that was typed before.
        wrong: why it did not fit.
        others: the titles of other logins, by their paths.
    """
    focus, second = ("", " autofocus") if user else (" autofocus", "")
    parts = [
        _alert(wrong),
        _form(
            token,
            '<label for="user">User name</label>\n'
            f'<input id="user" name="user" value="{escape(user)}" autocomplete="username"'
            f' autocapitalize="none" spellcheck="false" required{focus}>\n'
            '<label for="password">Password</label>\n'
            '<input id="password" name="password" type="password"'
            f' autocomplete="current-password" required{second}>\n',
            "Log in",
        ),
        *(_link(path, f"Log in with {name}") for path, name in (others or {}).items()),
    ]
    return _page(title, "".join(parts))


def logout_form(title: str, token: str, user: str | None, *, wrong: str = "") -> bytes:
    """Return the page with which a user logs out; without a user it says so.

    Args:
        title: its heading.
        token: of the form.
        user: who is logged in.
        wrong: why it did not work before.
    """
    if user is None:
        return _page(title, '<p>You are logged out. <a href="/">Go to the start page</a></p>\n')
    elsewhere = (
        f'<button class="second" name="{EVERYWHERE}" value="true">Log out everywhere</button>\n'
        '<p class="soft">Everywhere: also in your other browsers and apps, at once.</p>\n'
    )
    form = _form(token, "", "Log out", elsewhere)
    return _page(title, _alert(wrong) + _logged_in(user) + form)


def problem_page(title: str, wrong: str, again: str, user: str | None) -> bytes:
    """Return the page of a login that has failed.

    Args:
        title: its heading.
        wrong: why it has failed.
        again: the path to try again.
        user: who is logged in nevertheless, for example by another tab.
    """
    parts = [_alert(wrong), _link(again, "Try again")]
    if user is not None:
        parts += [_logged_in(user), _link("/", "Go to the start page")]
    return _page(title, "".join(parts))


def _logged_in(user: str) -> str:
    return f"<p>You are logged in as <strong>{escape(user)}</strong>.</p>\n"


def leaving_page(title: str, name: str, place: str | None) -> bytes:
    """Return a page that goes on by itself, to the logout of a login service.

    A form that led there would be stopped by the page's own policy, in some browsers.

    Args:
        title: its heading.
        name: of the login service.
        place: an address of another site; None if the login service cannot be reached.
    """
    text = "<p>You are logged out of this site.</p>\n"
    if place is None:
        wrong = f"You may still be logged in at {name}, which cannot be reached now."
        return _page(title, text + _alert(wrong) + _link("/", "Go to the start page"))
    head = f'<meta http-equiv="refresh" content="0; url={escape(place)}">\n'
    return _page(title, text + _link(place, f"Log out of {name} too"), head)


def _link(place: str, text: str) -> str:
    return f'<p><a href="{escape(place)}">{escape(text)}</a></p>\n'


def _alert(wrong: str) -> str:
    return f'<p class="wrong" role="alert">{escape(wrong)}</p>\n' if wrong else ""


def _form(token: str, fields: str, button: str, more: str = "") -> str:
    """Return a form that is sent to the address of its page, with its query."""
    return (
        f'<form method="post">\n<input type="hidden" name="{TOKEN_FIELD}" value="{escape(token)}">'
        f'\n{fields}<button type="submit">{button}</button>\n{more}</form>\n'
    )


def _page(title: str, body: str, head: str = "") -> bytes:
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{head}<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
    return text.encode(errors="replace")
