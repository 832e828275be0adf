"""Letter: the templates of one alert; with a message they make a mail."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from eventhub.alerts.addresses import MAX_SPEC, Address, Addresses, addresses, has_controls
from eventhub.alerts.attachment import check_source, load
from eventhub.alerts.headers import one_line
from eventhub.alerts.mail import CONTENT_ID, Mail, is_content_id
from eventhub.alerts.markup import markdown_to_html
from eventhub.alerts.placing import without_marks
from eventhub.alerts.sources import Sources, read
from eventhub.alerts.template import Template, Templates
from eventhub.config import Alert
from eventhub.errors import Misconfigured, Rejected

Values = Mapping[str, Any]
"""What templates see: the message as it was broadcast, `_method` and `id`."""


class Letter:
    """The compiled texts of one alert."""

    def __init__(
        self,
        where: str,
        alert: Alert,
        templates: Templates,
        sources: Sources,
        sender: str | None,
    ) -> None:
        """Compile; `where` names the alert in errors, `sender` stands in for a missing `from`.

        Raises:
            Misconfigured: naming the key at fault, and of a template the line.
        """
        self._where = where
        self._templates = templates
        self._sources = sources
        if alert.from_ is None and sender is None:
            raise Misconfigured(f"{where}: from: is missing, and the service has no `email:`")
        (self._from,) = self._addresses("from", alert.from_ if alert.from_ is not None else sender)
        self._to = self._addresses("to", alert.to)
        self._cc = self._addresses("cc", alert.cc)
        self._bcc = self._addresses("bcc", alert.bcc)
        self._reply_to = self._addresses("reply_to", alert.reply_to)
        (self._on_behalf_of,) = self._addresses("on_behalf_of", alert.on_behalf_of or "")
        self._subject = self._one("subject", alert.subject)
        self._images = {cid: self._image(cid, source) for cid, source in alert.images.items()}
        self._attachments = self._files("attachments", alert.attachments)
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
        sources = self._sources
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
            images={cid: load(source, values, sources) for cid, source in self._images.items()},
            attachments=tuple(load(source, values, sources) for source in self._attachments),
        )

    def _sender(self, values: Values) -> Address:
        text = self._from.render(values)
        found, malformed = addresses([text])
        if len(found) != 1 or malformed:
            raise Rejected(
                "refused", f"from: {without_marks(text)[:MAX_SPEC]!r} is not one address"
            )
        return found[0]

    def _replies(self, values: Values) -> Addresses:
        """Return where answers go; what is no address is left out, as a client would."""
        texts = [template.render(values) for template in self._reply_to]
        for text in texts:
            _check_controls("reply_to", text)
        return addresses(texts)

    def _behalf(self, values: Values) -> str:
        text = without_marks(self._on_behalf_of.render(values))
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
        return [
            self._templates.compile(
                f"{self._where}: {key}", " ".join(source.splitlines()), marking=True
            )
            for source in listed
        ]

    def _files(self, key: str, given: str | list[str]) -> list[Template]:
        found = [self._one(key, each) for each in ([given] if isinstance(given, str) else given)]
        for template in found:
            check_source(f"{self._where}: {key}", template, self._sources)
        return found

    def _image(self, cid: str, source: str) -> Template:
        if not is_content_id(cid):
            raise Misconfigured(f"{self._where}: images: {cid!r} is no content id: {CONTENT_ID}")
        (template,) = self._files(f"images: {cid}", source)
        return template

    def _body(self, **sources: str | None) -> "_Body | None":
        """Return the first that is given of a text and a file, under its key."""
        for key, source in sources.items():
            if source is not None:
                return _Body(f"{self._where}: {key}", source, self._templates, self._sources)
        return None


class _Body:
    """A text of the mail: it stands in the configuration, or in a file with a templated path."""

    def __init__(self, where: str, source: str, templates: Templates, sources: Sources) -> None:
        """Compile the text, or read the file of a constant path; `where` ends in the key."""
        key = where.rpartition(" ")[2]
        self._where = where
        self._templates = templates
        self._sources = sources
        self._is_file = key.endswith("file")
        self._is_html = not key.startswith("body")
        self._source = templates.compile(where, source, html=self._is_html and not self._is_file)
        if self._is_file:
            check_source(where, self._source, sources)
            if self._source.is_constant:
                self._read(source)  # for the errors: at start-up, not at the first message

    def render(self, values: Values) -> str:
        text = self._source.render(values)
        return self._read(text).render(values) if self._is_file else text

    def _read(self, path: str) -> Template:
        found = self._sources.located(self._source, path.strip())
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
