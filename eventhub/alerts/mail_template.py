"""MailTemplate: the compiled templates of one alert, which render a message to a mail."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from eventhub.alerts.addresses import MAX_SPEC, Address, Addresses, has_controls, parse_addresses
from eventhub.alerts.attachment import check_source, load
from eventhub.alerts.headers import one_line
from eventhub.alerts.interpolation import remove_marks
from eventhub.alerts.mail import CONTENT_ID, Mail, is_content_id
from eventhub.alerts.markup import markdown_to_html
from eventhub.alerts.sources import Sources, read
from eventhub.alerts.template import Template, Templates
from eventhub.config import Alert
from eventhub.errors import Misconfigured, Rejected

Values = Mapping[str, Any]
"""The values that templates can use: the message as it was broadcast, `_method` and `id`."""


class MailTemplate:
    """The compiled templates of one alert."""

    def __init__(
        self,
        where: str,
        alert: Alert,
        templates: Templates,
        sources: Sources,
        sender: str | None,
    ) -> None:
        """Compile the templates.

        Args:
            where: names the alert in errors.
            alert: the keys of the configuration.
            templates: compiles each of them.
            sources: the files that the alert may read.
            sender: used if the alert has no `from`.

        Raises:
            Misconfigured: names the key at fault, and the line of a template.
        """
        self._where = where
        self._templates = templates
        self._sources = sources
        if alert.from_ is None and sender is None:
            raise Misconfigured(f"{where}: from: is missing, and the service has no `email:`")
        (self._from,) = self._compile_addresses(
            "from", alert.from_ if alert.from_ is not None else sender
        )
        self._to = self._compile_addresses("to", alert.to)
        self._cc = self._compile_addresses("cc", alert.cc)
        self._bcc = self._compile_addresses("bcc", alert.bcc)
        self._reply_to = self._compile_addresses("reply_to", alert.reply_to)
        (self._on_behalf_of,) = self._compile_addresses("on_behalf_of", alert.on_behalf_of or "")
        self._subject = self._compile("subject", alert.subject)
        self._images = {
            cid: self._compile_image(cid, source) for cid, source in alert.images.items()
        }
        self._attachments = self._compile_sources("attachments", alert.attachments)
        # As in Gramex: a text goes before a file, and Markdown in either form before HTML.
        self._text = self._compile_body(body=alert.body, bodyfile=alert.bodyfile)
        self._markdown = self._compile_body(
            markdown=alert.markdown, markdownfile=alert.markdownfile
        )
        self._html = self._compile_body(html=alert.html, htmlfile=alert.htmlfile)

    def compose(
        self, values: Values, message_id: str, date: datetime, *, attached: bool = True
    ) -> Mail:
        """Return the mail for a message. Blocking: it reads files and URLs.

        Args:
            values: of the message.
            message_id: without angle brackets.
            date: aware.
            attached: with attachments and images; without them no URL is read.

        Raises:
            Rejected, Misconfigured: the mail cannot be composed; a retry makes no difference.
            Unavailable: the URL of an attachment may answer later.
        """
        sources = self._sources
        images, attachments = (self._images, self._attachments) if attached else ({}, [])
        return Mail(
            message_id=f"<{message_id}>",
            date=date,
            sender=self._render_sender(values),
            to=_render_addresses(self._to, values),
            cc=_render_addresses(self._cc, values),
            bcc=_render_addresses(self._bcc, values),
            reply_to=self._render_reply_to(values),
            on_behalf_of=self._render_on_behalf_of(values),
            subject=one_line(self._subject.render(values)),
            text=self._text.render(values) if self._text else None,
            html=self._render_html(values),
            images={cid: load(source, values, sources) for cid, source in images.items()},
            attachments=tuple(load(source, values, sources) for source in attachments),
        )

    def _render_sender(self, values: Values) -> Address:
        text = self._from.render(values)
        found, malformed = parse_addresses([text])
        if len(found) != 1 or malformed:
            raise Rejected("refused", f"from: {remove_marks(text)[:MAX_SPEC]!r} is not one address")
        return found[0]

    def _render_reply_to(self, values: Values) -> Addresses:
        """Return the addresses for replies. Malformed ones are left out, as mail clients do."""
        texts = [template.render(values) for template in self._reply_to]
        for text in texts:
            _check_controls("reply_to", text)
        return parse_addresses(texts)

    def _render_on_behalf_of(self, values: Values) -> str:
        text = remove_marks(self._on_behalf_of.render(values))
        _check_controls("on_behalf_of", text)
        return text

    def _render_html(self, values: Values) -> str | None:
        if self._markdown:
            return markdown_to_html(self._markdown.render(values))
        return self._html.render(values) if self._html else None

    def _compile(self, key: str, source: str | None) -> Template:
        return self._templates.compile(f"{self._where}: {key}", source or "")

    def _compile_addresses(self, key: str, sources: str | list[str] | None) -> list[Template]:
        """Compile lists of addresses. Line breaks in a template are layout, and become spaces."""
        listed = [sources] if isinstance(sources, str) else sources or []
        return [
            self._templates.compile(
                f"{self._where}: {key}", " ".join(source.splitlines()), marking=True
            )
            for source in listed
        ]

    def _compile_sources(self, key: str, given: str | list[str]) -> list[Template]:
        found = [
            self._compile(key, each) for each in ([given] if isinstance(given, str) else given)
        ]
        for template in found:
            check_source(f"{self._where}: {key}", template, self._sources)
        return found

    def _compile_image(self, cid: str, source: str) -> Template:
        if not is_content_id(cid):
            raise Misconfigured(
                f"{self._where}: images: {cid!r} is not a content id, which may have {CONTENT_ID}"
            )
        (template,) = self._compile_sources(f"images: {cid}", source)
        return template

    def _compile_body(self, **sources: str | None) -> "_BodyTemplate | None":
        """Compile the first source that is not None, a text or a file; each is under its key."""
        for key, source in sources.items():
            if source is not None:
                return _BodyTemplate(
                    f"{self._where}: {key}", source, self._templates, self._sources
                )
        return None


class _BodyTemplate:
    """A text of the mail, from the configuration or from a file whose path is a template."""

    def __init__(self, where: str, source: str, templates: Templates, sources: Sources) -> None:
        """Compile the text, or the path of the file; `where` ends with the key."""
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
                self._read(source)  # so that its errors stop the start, not the first message

    def render(self, values: Values) -> str:
        text = self._source.render(values)
        return self._read(text).render(values) if self._is_file else text

    def _read(self, path: str) -> Template:
        found = self._sources.locate(self._source, path.strip())
        try:
            text = read(found).decode()
        except Rejected as error:  # it names the file
            raise Misconfigured(f"{self._where}: {error}") from error
        except UnicodeDecodeError as error:
            raise Misconfigured(f"{self._where}: {found}: {error}") from error
        return self._templates.compile(f"{self._where}: {found.name}", text, html=self._is_html)


def _render_addresses(templates: list[Template], values: Values) -> Addresses:
    return parse_addresses(template.render(values) for template in templates)


def _check_controls(key: str, text: str) -> None:
    if has_controls(text):
        raise Rejected(
            "refused", f"{key}: {text[:MAX_SPEC]!r} has a line break or a control character"
        )
