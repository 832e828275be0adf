"""Each key of an alert appears in its place in the mail, and a message changes nothing else."""

import os
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from eventhub.alerts.mail import Mail
from eventhub.config import Config, Projection
from eventhub.config.hub_files import HubFiles
from eventhub.errors import EventHubError, Misconfigured, Rejected
from tests.unit.alerts.builders import make_rule

DATE = datetime(2026, 11, 23, 10, tzinfo=UTC)


def compose(values: dict[str, Any], folder: Path = Path(), **alert: Any) -> Mail:
    template = make_rule(folder, **{"to": "a@example.org", **alert}).template
    return template.compose(values, message_id="e.1.chat@eventhub", date=DATE)


def test_every_key_of_text_is_a_template() -> None:
    mail = compose(
        {"x": "val"},
        sender="{{ x }} <s@example.org>",
        to=["{{ x }}1@example.org, {{ x }}2@example.org", "Three <{{ x }}3@example.org>"],
        cc="{{ x }}4@example.org",
        bcc=["{{ x }}5@example.org"],
        reply_to="{{ x }}6@example.org",
        on_behalf_of="{{ x }}7@example.org",
        subject="Message: {{ x }}",
        body="Body {{ x }}",
        html="<p>{{ x }}</p>",
    )
    assert str(mail.sender) == "val <s@example.org>"
    assert mail.recipients == tuple(f"val{i}@example.org" for i in range(1, 6))
    message = message_from_bytes(mail.as_bytes(), policy=default)
    assert message["To"] == "val1@example.org, val2@example.org, Three <val3@example.org>"
    assert message["Cc"] == "val4@example.org"
    assert message["Bcc"] is None
    assert message["Reply-To"] == "val6@example.org"
    assert message["On-Behalf-Of"] == "val7@example.org"
    assert message["Subject"] == "Message: val"
    assert (mail.text, mail.html) == ("Body val", "<p>val</p>")


def test_html_is_escaped_and_subject_and_text_are_not() -> None:
    nasty = "<b>&\"'"
    mail = compose({"x": nasty}, subject="{{ x }}", body="{{ x }}", html="{{ x }}")
    assert (mail.subject, mail.text) == (nasty, nasty)
    assert mail.html == "&lt;b&gt;&amp;&#34;&#39;"


def test_markdown_takes_precedence_over_html() -> None:
    mail = compose({"x": "[l](javascript:x) <b>"}, html="no", markdown="# {{ x }}")
    assert mail.html == '<h1><a href="">l</a> &lt;b&gt;</h1>'


def test_a_text_takes_precedence_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("file")
    assert compose({}, tmp_path, body="text", bodyfile="b.txt").text == "text"
    assert compose({}, tmp_path, bodyfile="b.txt").text == "file"


def test_files_are_templates_at_templated_paths(tmp_path: Path) -> None:
    (tmp_path / "hi.txt").write_text("text {{ x }}")
    (tmp_path / "hi.html").write_text("<p>{{ x }}</p>")
    (tmp_path / "hi.md").write_text("*{{ x }}*")
    mail = compose(
        {"k": "hi", "x": "<"},
        tmp_path.parent,
        bodyfile="{{ k }}.txt",
        htmlfile="{{ k }}.html",
        attachments_from=tmp_path.name,
    )
    assert (mail.text, mail.html) == ("text <", "<p>&lt;</p>")
    assert compose({"x": "<"}, tmp_path, markdownfile="hi.md").html == "<p><em>&lt;</em></p>"


def test_a_file_that_is_missing_or_broken_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("\n{% if %}")
    with pytest.raises(Misconfigured, match=r"alert: htmlfile: bad.html: line 2"):
        compose({}, tmp_path, htmlfile="bad.html")
    with pytest.raises(Misconfigured, match=r"alert: bodyfile: .*nosuch.txt"):
        compose({}, tmp_path, bodyfile="nosuch.txt")


def test_images_and_attachments_are_files_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"png")
    (tmp_path / "hi.csv").write_bytes(b"csv")
    images = {"logo": "{{ k }}.png"}
    files = ["hi.csv", str(tmp_path / "hi.csv")]
    mail = compose(
        {"k": "logo"}, tmp_path, html="x", images=images, attachments=files, attachments_from="."
    )
    assert mail.images["logo"].media_type == "image/png"
    assert [(file.name, file.data) for file in mail.attachments] == [("hi.csv", b"csv")] * 2


def test_an_image_that_is_not_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logo.txt").write_bytes(b"text")
    with pytest.raises(Rejected, match="not an image"):
        compose({}, tmp_path, html="x", images={"logo": "logo.txt"}).as_bytes()


FILE_KEYS = ["attachments", "bodyfile", "htmlfile", "markdownfile", "images"]


def named(key: str, source: str) -> dict[str, Any]:
    return {"images": {"x": source}, "html": "x"} if key == "images" else {key: source}


@pytest.mark.parametrize(
    "name", ["", "../secret", "x/../../secret", "\0", "link", ".hidden", "pipe"]
)
@pytest.mark.parametrize("source", ["{{ name }}", "below/{{ name }}", "{{ top }}/{{ name }}"])
@pytest.mark.parametrize("key", FILE_KEYS)
def test_a_message_cannot_name_a_file_outside_of_the_folder(
    tmp_path: Path, key: str, source: str, name: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    below = tmp_path / "files" / "below"
    below.mkdir(parents=True)
    for folder in (tmp_path / "files", below):
        (folder / "link").symlink_to(tmp_path / "secret")
        (folder / ".hidden").write_text("hidden")
        os.mkfifo(folder / "pipe")
    values = {"name": name, "top": str(tmp_path)}
    with pytest.raises(EventHubError):
        compose(values, tmp_path, attachments_from="files", **named(key, source))


@pytest.mark.parametrize("source", ["{{ name }}", "reports/{{ name }}", "{% if 1 %}x{% endif %}"])
@pytest.mark.parametrize("key", FILE_KEYS)
def test_without_a_folder_no_template_may_name_a_file(key: str, source: str) -> None:
    with pytest.raises(Misconfigured, match=f"alert: {key}: .*attachments_from:"):
        make_rule(**named(key, source))


@pytest.mark.parametrize("name", ["data/key", "hub.yaml", "secret", "copy", "rows.duckdb.wal"])
@pytest.mark.parametrize("key", FILE_KEYS)
def test_no_alert_reads_a_file_of_the_hub_itself(tmp_path: Path, key: str, name: str) -> None:
    (tmp_path / "data").mkdir()
    for file in ("data/key", "hub.yaml", "secret", "rows.duckdb.wal"):
        (tmp_path / file).write_text("kept")
    (tmp_path / "copy").hardlink_to(tmp_path / "data/key")
    config = Config(
        path=tmp_path / "hub.yaml",
        data=tmp_path / "data",
        sources=(tmp_path / "secret",),
        projection=Projection(path=str(tmp_path / "rows.duckdb")),
    )
    hub = HubFiles.of(config)
    with pytest.raises(Misconfigured, match=f"alert: {key}: .*is a file of the hub itself"):
        make_rule(tmp_path, hub, **named(key, name))
    rule = make_rule(tmp_path, hub, to="a@x.org", attachments_from=".", **named(key, "{{ n }}"))
    with pytest.raises(EventHubError, match="is a file of the hub itself"):
        rule.template.compose({"n": name}, message_id="e.1.chat@eventhub", date=DATE)


def test_a_message_cannot_choose_the_host_of_a_url() -> None:
    with pytest.raises(Misconfigured, match="begin the URL with https://HOST/"):
        compose({"url": "http://169.254.169.254/x"}, attachments="{{ url }}")
    for source in ("{{ x }}", "https://a.example{{ x }}", "https://{{ x }}/"):
        with pytest.raises(Rejected, match="must not come from the message"):
            compose({"x": "http://b.example/"}, attachments=source, attachments_from=".")


@pytest.mark.parametrize("step", ["../x", "a/../../x", "%2e%2e/x", "%252e%252e/x", "..\\x", "./x"])
def test_a_message_cannot_move_up_in_the_path_of_a_url(step: str) -> None:
    with pytest.raises(Rejected, match="may not move up"):
        compose({"x": step}, attachments="http://127.0.0.1:1/reports/{{ x }}")


def test_a_message_cannot_name_a_template_to_include() -> None:
    for source in ("{% include x %}", "{% extends x %}", "{% include ['a', x] %}"):
        with pytest.raises(Misconfigured, match=r"body: line 1: write the name .* in quotes"):
            compose({"x": "secret"}, body=source)


@pytest.mark.parametrize("cid", ["a b", "a>\r\nBcc: x", "=?utf-8?q?x?=", "ä", ""])
def test_a_content_id_is_plain(cid: str) -> None:
    with pytest.raises(Misconfigured, match=r"images: .* is not a content id"):
        compose({}, html="x", images={cid: "logo.png"})


@pytest.mark.parametrize("name", ['x" <evil@x.org>, "y', "a, b@evil.org", "x\\", '"', "(", "<", ""])
@pytest.mark.parametrize(
    "to", ['"{{ n }}" <a@x.org>', "{{ n }} <a@x.org>", "Dr. {{ n }} <a@x.org>"]
)
def test_a_name_stays_a_name(to: str, name: str) -> None:
    mail = compose({"n": name}, to=to)
    assert mail.recipients == ("a@x.org",)
    assert mail.to.found[0].display_name == ("Dr. " * ("Dr." in to) + name).strip()


def test_a_value_in_brackets_is_one_address() -> None:
    mail = compose({"m": "a@x.org>, <evil@x.org"}, to="Ann <{{ m }}>", cc="b@x.org")
    assert mail.recipients == ("b@x.org",)
    assert mail.malformed == ("Ann <a@x.org>, <evil@x.org>",)


def test_a_value_by_itself_may_be_a_list() -> None:
    values = {"m": 'a@x.org, "B, C" <b@x.org>', "open": '"'}
    assert compose(values, to="{{ m }}, c@x.org").recipients == ("a@x.org", "b@x.org", "c@x.org")
    assert compose(values, to='{{ open }}, "{{ m }}" <d@x.org>', cc="c@x.org").recipients == (
        "c@x.org",
    )


def test_line_breaks_are_allowed_in_the_layout_of_an_address_field_but_not_in_values() -> None:
    to = "{{ x }}@x.org,\n  {% if x %}\n  b@x.org\n  {% endif %}\n"
    assert compose({"x": "a"}, to=to).recipients == ("a@x.org", "b@x.org")
    mail = compose({"x": "a@x.org\nevil"}, to=to, cc="c@x.org")
    assert (mail.recipients, len(mail.malformed)) == (("c@x.org",), 1)


@pytest.mark.parametrize("key", ["sender", "reply_to", "on_behalf_of"])
@pytest.mark.parametrize("control", ["\n", "\r\nBcc: x@x.org", "\0", "\x85"])
def test_a_control_character_in_a_single_address_refuses_the_mail(key: str, control: str) -> None:
    with pytest.raises(Rejected):
        compose({"x": f"a@x.org{control}"}, Path(), **{key: "{{ x }}"})


@pytest.mark.parametrize("sender", ["", "nobody", "a@example.org, b@example.org"])
def test_a_sender_that_is_not_one_address_is_refused(sender: str) -> None:
    with pytest.raises(Rejected, match=r"from: .* is not one address"):
        compose({}, sender=sender)


def test_malformed_recipients_are_reported_separately() -> None:
    mail = compose({"x": None}, to="None, b@example.org, {{ x }}", cc="{{ x }}", bcc="nobody")
    assert mail.recipients == ("b@example.org",)
    assert mail.malformed == ("None", "nobody")


def test_an_error_names_endpoint_key_and_line() -> None:
    with pytest.raises(Misconfigured, match="url: chat: alert: subject: line 1: "):
        compose({}, subject="{{ }")
