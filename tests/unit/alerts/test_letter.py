"""Every key of an alert has its place in the mail, and a message changes nothing else."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from eventhub.alerts.mail import Mail
from eventhub.errors import EventHubError, Misconfigured, Rejected
from tests.unit.alerts.builders import make_rule

DATE = datetime(2026, 11, 23, 10, tzinfo=UTC)


def compose(values: dict[str, Any], folder: Path = Path(), **alert: Any) -> Mail:
    letter = make_rule(folder, **{"to": "a@example.org", **alert}).letter
    return letter.compose(values, message_id="e.1.chat@eventhub", date=DATE)


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


def test_markdown_takes_the_place_of_html() -> None:
    mail = compose({"x": "[l](javascript:x) <b>"}, html="no", markdown="# {{ x }}")
    assert mail.html == '<h1><a href="">l</a> &lt;b&gt;</h1>'


def test_a_text_comes_before_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("file")
    assert compose({}, tmp_path, body="text", bodyfile="b.txt").text == "text"
    assert compose({}, tmp_path, bodyfile="b.txt").text == "file"


def test_files_are_templates_at_templated_paths(tmp_path: Path) -> None:
    (tmp_path / "hi.txt").write_text("text {{ x }}")
    (tmp_path / "hi.html").write_text("<p>{{ x }}</p>")
    (tmp_path / "hi.md").write_text("*{{ x }}*")
    mail = compose({"k": "hi", "x": "<"}, tmp_path, bodyfile="{{ k }}.txt", htmlfile="{{ k }}.html")
    assert (mail.text, mail.html) == ("text <", "<p>&lt;</p>")
    assert compose({"x": "<"}, tmp_path, markdownfile="hi.md").html == "<p><em>&lt;</em></p>"


def test_a_file_that_is_missing_or_broken_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("\n{% if %}")
    with pytest.raises(Misconfigured, match=r"alert: htmlfile: bad.html: line 2"):
        compose({}, tmp_path, htmlfile="bad.html")
    with pytest.raises(Misconfigured, match=r"alert: bodyfile: .*nosuch.txt"):
        compose({}, tmp_path, bodyfile="nosuch.txt")


def test_images_and_attachments_are_files_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"png")
    (tmp_path / "hi.csv").write_bytes(b"csv")
    images = {"logo": "{{ k }}.png"}
    mail = compose({"k": "logo"}, tmp_path, html="x", images=images, attachments=["hi.csv"])
    assert mail.images["logo"].media_type == "image/png"
    assert [(file.name, file.data) for file in mail.attachments] == [("hi.csv", b"csv")]


def test_an_image_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logo.txt").write_bytes(b"text")
    with pytest.raises(Rejected, match="not an image"):
        compose({}, tmp_path, html="x", images={"logo": "logo.txt"}).as_bytes()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "x/../../secret", "\0"])
@pytest.mark.parametrize("key", ["attachments", "bodyfile"])
def test_a_message_does_not_lead_out_of_the_folder(tmp_path: Path, key: str, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "files").mkdir()
    with pytest.raises(EventHubError):
        compose({"name": name}, tmp_path / "files", **{key: "{{ name }}"})
    with pytest.raises(EventHubError):
        compose({"name": name}, tmp_path, **{key: "files/{{ name }}"})


def test_a_message_does_not_choose_the_host_of_a_url() -> None:
    with pytest.raises(Rejected, match="must not come from the message"):
        compose({"url": "http://169.254.169.254/x"}, attachments="{{ url }}")
    with pytest.raises(Rejected, match="must not come from the message"):
        compose({"x": ".evil.example/"}, attachments="https://a.example{{ x }}")


@pytest.mark.parametrize("sender", ["", "nobody", "a@example.org, b@example.org"])
def test_a_sender_is_one_address(sender: str) -> None:
    with pytest.raises(Rejected, match=r"from: .* is not one address"):
        compose({}, sender=sender)


def test_what_is_no_address_is_told_apart() -> None:
    mail = compose({"x": None}, to="None, b@example.org, {{ x }}", cc="{{ x }}", bcc="nobody")
    assert mail.recipients == ("b@example.org",)
    assert mail.malformed == ("None", "nobody")


def test_an_error_names_endpoint_key_and_line() -> None:
    with pytest.raises(Misconfigured, match="url: chat: alert: subject: line 1: "):
        compose({}, subject="{{ }")
