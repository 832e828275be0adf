"""Letter: the templates of one alert; with a message they make a mail."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from eventhub.alerts.addresses import MAX_SPEC, Address, Addresses, addresses, has_controls
from eventhub.alerts.attachment import load, located, read
from eventhub.alerts.headers import one_line
from eventhub.alerts.mail import CONTENT_ID, Mail, is_content_id
from eventhub.alerts.markup import markdown_to_html
from eventhub.alerts.template import Template, Templates
from eventhub.config import Alert
from eventhub.errors import Misconfigured, Rejected

Values = Mapping[str, Any]
"""What templates see: the message as it was broadcast, `_method` and `id`."""


class Letter:
    """The compiled texts of one alert."""

    def __init__(self, where: str, alert: Alert, templates: Templates, sender: str | None) -> None:
        """Compile; `where` names the alert in errors, `sender` stands in for a missing `from`.

        Raises:
            Misconfigured: naming the key at fault, and of a template the line.
        """
        self._where = where
        self._templates = templates
        if alert.from_ is None and sender is None:
            raise Misconfigured(f"{where}: from: is missing, and the service has no `email:`")
        (self._from,) = self._addresses("from", alert.from_ if alert.from_ is not None else sender)
        self._to = self._addresses("to", alert.to)
        self._cc = self._addresses("cc", alert.cc)
        self._bcc = self._addresses("bcc", alert.bcc)
        self._reply_to = self._addresses("reply_to", alert.reply_to)
        (self._on_behalf_of,) = self._addresses("on_behalf_of", alert.on_behalf_of or "")
        self._subject = self._one("subject", alert.subject)
        for cid in alert.images:
            if not is_content_id(cid):
                raise Misconfigured(f"{where}: images: {cid!r} is no content id: {CONTENT_ID}")
        self._images = {
            cid: self._one(f"images: {cid}", source) for cid, source in alert.images.items()
        }
        self._attachments = self._many("attachments", alert.attachments)
        # As in Gramex: a text before a file, Markdown in any form before HTML.
        self._text = self._body(body=alert.body, bodyfile=alert.bodyfile)
        self._markdown = self._body(markdown=alert.markdown, markdownfile=alert.markdownfile)
        self._html = self._body(html=alert.html, htmlfile=alert.htmlfile)

    def compose(self, values: Values, message_id: str, date: datetime) -> Mail:
        """Return the mail for a message. Blocking: it reads files and URLs.

        Raises:
            Rejected, Misconfigured: this mail cannot be made; a retry makes no difference.
            Unavailable: an attachment's URL may answer later.
        """
        folder = self._templates.folder
        return Mail(
            message_id=f"<{message_id}>",
            date=date,
            sender=self._sender(values),
            to=_rendered(self._to, values),
            cc=_rendered(self._cc, values),
            bcc=_rendered(self._bcc, values),
            reply_to=self._replies(values),
            on_behalf_of=self._behalf(values),
            subject=one_line(self._subject.render(values)),
            text=self._text.render(values) if self._text else None,
            html=self._rendered_html(values),
            images={cid: load(source, values, folder) for cid, source in self._images.items()},
            attachments=tuple(load(source, values, folder) for source in self._attachments),
        )

    def _sender(self, values: Values) -> Address:
        text = self._from.render(values)
        found, malformed = addresses([text])
        if len(found) != 1 or malformed:
            raise Rejected("refused", f"from: {text[:MAX_SPEC]!r} is not one address")
        return found[0]

    def _replies(self, values: Values) -> Addresses:
        """Return where answers go; what is no address is left out, as a client would."""
        texts = [template.render(values) for template in self._reply_to]
        for text in texts:
            _check_controls("reply_to", text)
        return addresses(texts)

    def _behalf(self, values: Values) -> str:
        text = self._on_behalf_of.render(values)
        _check_controls("on_behalf_of", text)
        return text

    def _rendered_html(self, values: Values) -> str | None:
        if self._markdown:
            return markdown_to_html(self._markdown.render(values))
        return self._html.render(values) if self._html else None

    def _one(self, key: str, source: str | None) -> Template:
        return self._templates.compile(f"{self._where}: {key}", source or "")

    def _addresses(self, key: str, sources: str | list[str] | None) -> list[Template]:
        """Compile templates whose line breaks are the operator's layout: those become blanks."""
        listed = [sources] if isinstance(sources, str) else sources or []
        return [self._one(key, " ".join(source.splitlines())) for source in listed]

    def _many(self, key: str, sources: str | list[str] | None) -> list[Template]:
        listed = [sources] if isinstance(sources, str) else sources or []
        return [self._one(key, source) for source in listed]

    def _body(self, **sources: str | None) -> "_Body | None":
        """Return the first that is given of a text and a file, under its key."""
        for key, source in sources.items():
            if source is not None:
                return _Body(f"{self._where}: {key}", key, source, self._templates)
        return None


class _Body:
    """A text of the mail: it stands in the configuration, or in a file with a templated path."""

    def __init__(self, where: str, key: str, source: str, templates: Templates) -> None:
        self._where = where
        self._templates = templates
        self._is_file = key.endswith("file")
        self._is_html = not key.startswith("body")
        self._source = templates.compile(where, source, html=self._is_html and not self._is_file)
        if self._is_file and self._source.is_constant:
            self._read(source)  # for the errors: at start-up, not at the first message

    def render(self, values: Values) -> str:
        text = self._source.render(values)
        return self._read(text).render(values) if self._is_file else text

    def _read(self, path: str) -> Template:
        found = located(self._source, path.strip(), self._templates.folder)
        try:
            text = read(found).decode()
        except (Rejected, UnicodeDecodeError) as error:
            raise Misconfigured(f"{self._where}: {found}: {error}") from error
        return self._templates.compile(f"{self._where}: {found.name}", text, html=self._is_html)


def _rendered(templates: list[Template], values: Values) -> Addresses:
    return addresses(template.render(values) for template in templates)


def _check_controls(key: str, text: str) -> None:
    if has_controls(text):
        raise Rejected(
            "refused", f"{key}: {text[:MAX_SPEC]!r} has a line break or a control character"
        )
