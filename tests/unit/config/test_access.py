"""A blank rule never opens an endpoint, and trust in everybody must be explicit."""

import re

import pytest

from eventhub.config import networks_of
from tests.unit.config.folder import BLANK, Folder, endpoint, messages


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("auth: BLANK", 6, ".auth"),
        ("auth:\n  membership: BLANK", 7, ".auth.membership"),
        ("auth:\n  condition: BLANK", 7, ".auth.condition"),
        ("auth:\n  membership: {role: [admin]}\n  condition: BLANK", 8, ".auth.condition"),
    ],
)
def test_blank_rule_is_refused_and_opens_nothing(
    folder: Folder, text: str, line: int, key: str, blank: str
) -> None:
    problems = folder.problems(endpoint(text.replace("BLANK", blank)))
    assert problems[0].startswith(
        f"hub.yaml:{line}: url.chat.kwargs{key}: {key.rpartition('.')[2]} is blank"
    )
    assert "write " in problems[0]
    files = "url: {a: {pattern: /a, handler: FileHandler, kwargs: {path: ., auth: BLANK}}}"
    assert "url.a.kwargs.auth: auth is blank" in folder.problems(files.replace("BLANK", blank))[0]


@pytest.mark.parametrize(
    "rule",
    [
        "membership: [{}]",
        "membership: {role: }",
        "membership: {role: []}",
        "membership: {role: ''}",
        "membership: {role: [admin, null]}",
        "membership: {role: [$EMPTY]}",
        "membership: [{role: admin}, {team: }]",
        "condition: {function: }",
        "condition: {function: ''}",
        "condition: $EMPTY",
    ],
)
def test_rule_with_a_blank_part_is_refused(folder: Folder, rule: str) -> None:
    text = "variables: {EMPTY: ''}\n" + endpoint("auth:\n  " + rule)
    problems = folder.problems(text)
    assert f": url.chat.kwargs.auth.{rule.split(':')[0]}: " in problems[0]
    assert " is blank; write " in problems[0]


@pytest.mark.parametrize("rule", ["membership: {level: 0}", "membership: {is_guest: false}"])
def test_attribute_of_a_rule_may_be_zero_or_false(folder: Folder, rule: str) -> None:
    assert messages(folder.load(endpoint("auth:\n  " + rule)))[0].auth


@pytest.mark.parametrize("rule", ["table: x", "auth: false"])
def test_absent_auth_or_false_is_open(folder: Folder, rule: str) -> None:
    assert not messages(folder.load(endpoint(rule)))[0].auth


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("key", ["auth", "auth.jwt", "auth.proxy", "auth.session"])
def test_blank_section_of_auth_is_refused(folder: Folder, key: str, blank: str) -> None:
    *above, last = key.split(".")
    text = "".join(f"{name}:\n  " for name in above) + f"{last}: {blank}\n"
    problems = folder.problems(text, environ={"EVENTHUB_SESSION_SECRET": "from the environment"})
    assert problems[0].startswith(f"hub.yaml:{len(above) + 1}: {key}: {last} is blank; write")


@pytest.mark.parametrize(
    "text",
    [
        "jwt: {secret: '', audience: x}",
        "jwt: {secret: 0123456789abcdef0123456789abcdef, audience: }",
        "jwt: {secret: 0123456789abcdef0123456789abcdef, issuer: ''}",
        "jwt: {secret: 0123456789abcdef0123456789abcdef, algorithms: []}",
        "proxy: {header: '', trusted: [127.0.0.1]}",
        "proxy: {header: X, trusted: }",
        "proxy: {header: X, trusted: []}",
        "session: {cookie: ''}",
    ],
)
def test_blank_setting_of_auth_is_refused(folder: Folder, text: str) -> None:
    problems = folder.problems(f"auth:\n  {text}")
    assert re.match(r"hub.yaml:2: auth.\w+.(\w+): \1 is blank", problems[0]), problems


EVERYBODY = [
    "0.0.0.0/0",
    "::/0",
    "1.2.3.4/0",
    "0.0.0.0/1, 128.0.0.0/1",
    "0.0.0.0/2, 64.0.0.0/2, 128.0.0.0/1",
    "0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3",
    "1.0.0.0/8, 2.0.0.0/7, 4.0.0.0/6, 8.0.0.0/5, 16.0.0.0/4, 32.0.0.0/3, 64.0.0.0/2, 128.0.0.0/1",
    "::ffff:0:0/96",
    "'::ffff:0:0/97', '::ffff:128.0.0.0/97'",
    "2000::/3",
    "2000::/4, 3000::/4",
    "127.0.0.1, ::/0",
]


@pytest.mark.parametrize("networks", EVERYBODY)
def test_networks_that_cover_all_addresses_need_the_word_any(folder: Folder, networks: str) -> None:
    quoted = ", ".join(f"'{each.strip(chr(39))}'" for each in networks.split(", "))
    (reported,) = folder.problems(f"auth:\n  proxy: {{header: X, trusted: [{quoted}]}}")
    assert reported.startswith("hub.yaml:2: auth.proxy.trusted: these networks are all addresses")
    assert "`trusted: any`" in reported


@pytest.mark.parametrize("networks", ["any", "[any]", "[any, 10.0.0.0/8]"])
def test_trust_in_any_address_is_a_warning(folder: Folder, networks: str) -> None:
    config = folder.load(f"auth:\n  proxy: {{header: X, trusted: {networks}}}")
    assert config.auth.proxy is not None
    assert [str(each) for each in networks_of(config.auth.proxy.trusted)] == ["0.0.0.0/0", "::/0"]
    (warning,) = config.warnings
    assert "hub.yaml:2: auth.proxy.trusted: with `any`, every client" in warning


@pytest.mark.parametrize("networks", ["127.0.0.1", "10.0.0.0/8, 'fd00::/8'", "128.0.0.0/1"])
def test_trust_in_some_networks_is_no_warning(folder: Folder, networks: str) -> None:
    assert not folder.load(f"auth:\n  proxy: {{header: X, trusted: [{networks}]}}").warnings


def test_invalid_network_is_reported_with_its_line(folder: Folder) -> None:
    (reported,) = folder.problems("auth:\n  proxy: {header: X, trusted: [nginx]}")
    assert reported.startswith("hub.yaml:2: auth.proxy.trusted: expected addresses and networks")
