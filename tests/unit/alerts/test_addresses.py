"""Lists of addresses are parsed strictly: a text is exactly one address, or it is malformed."""

import pytest

from eventhub.alerts.addresses import parse_addresses, why_malformed


def specs(*texts: str) -> list[str]:
    return [address.addr_spec for address in parse_addresses(texts).found]


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("a@example.org", "", "a@example.org"),
        (" <a@example.org> ", "", "a@example.org"),
        ("Jane Doe <jd@example.org>", "Jane Doe", "jd@example.org"),
        ("J. R. Doe <jd@example.org>", "J. R. Doe", "jd@example.org"),
        ('"Doe, Jane" <jd@example.org>', "Doe, Jane", "jd@example.org"),
        (r'"a \"b\" \\" <jd@example.org>', 'a "b" \\', "jd@example.org"),
        ("jd@example.org (Jane (J.) Doe)", "Jane (J.) Doe", "jd@example.org"),
        ("Jane (x, y) Doe <jd@example.org>", "Jane Doe", "jd@example.org"),
        ("Jörg Müller <jm@bücher.example>", "Jörg Müller", "jm@xn--bcher-kva.example"),
        ("=?utf-8?q?x?= <a@example.org>", "=?utf-8?q?x?=", "a@example.org"),
        ("jörg@example.org", "", "jörg@example.org"),
        ('"john doe"@example.org', "", '"john doe"@example.org'),
        ('"john.doe"@example.org', "", "john.doe@example.org"),
        ("a@STRASSE.example", "", "a@STRASSE.example"),
        ("a@FAß.example", "", "a@xn--fa-hia.example"),
        ("a@例え。テスト", "", "a@xn--r8jz45g.xn--zckzah"),
        ("root@localhost", "", "root@localhost"),
    ],
)
def test_an_address_is_parsed_with_its_name(text: str, name: str, spec: str) -> None:
    (found,), malformed = parse_addresses([text])
    assert (found.display_name, found.addr_spec, malformed) == (name, spec, ())


@pytest.mark.parametrize(
    "text",
    [
        "nobody",
        "@example.org",
        "a@",
        "a@@example.org",
        "a b@example.org",
        "a@example.org b@example.org",
        "a@example.org <b@example.org>",
        "<a@example.org> b@example.org",
        "<a@example.org",
        '"a@example.org',
        "(a@example.org",
        "a..b@example.org",
        ".a@example.org",
        "a@example..org",
        "a@example.org.",
        "a@-example.org",
        "a@exa%6dple.org",
        "a@exam ple.org",
        "a@[127.0.0.1]",
        "<@relay.example:a@example.org>",
        "=?utf-8?q?a?=@example.org",
        "a@=?utf-8?q?example.org?=",
        '"=?utf-8?q?a?="@example.org',
        "a\u202e@example.org",
        "a\u00a0b@example.org",
        "a@☕.example",
        "a@℀.example",
        "l" * 65 + "@example.org",
        "a@" + "d" * 64 + ".org",
        "a@" + "abc." * 70 + "org",
    ],
)
def test_a_malformed_address_does_not_affect_the_others(text: str) -> None:
    found, malformed = parse_addresses(["before@example.org", text, "after@example.org"])
    assert [each.addr_spec for each in found] == ["before@example.org", "after@example.org"]
    assert malformed == (text[:254],)


@pytest.mark.parametrize("control", ["\n", "\r\n ", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028"])
def test_a_list_with_a_control_character_is_malformed_as_a_whole(control: str) -> None:
    text = f"a@example.org{control}, b@example.org"
    assert specs(text, "c@example.org") == ["c@example.org"]
    (malformed,) = parse_addresses([text]).malformed
    assert malformed == text
    assert why_malformed(malformed) == "a line break or control character"


def test_a_group_yields_its_members() -> None:
    assert specs("Team: a@x.org, B <b@x.org>; , c@x.org", "hidden:;") == [
        "a@x.org",
        "b@x.org",
        "c@x.org",
    ]


def test_each_address_is_found_once() -> None:
    assert specs("a@x.org, A@x.org,, <a@X.org>") == ["a@x.org"]


def test_a_long_list_is_read_in_reasonable_time() -> None:
    nested = "(" * 200_000 + ")" * 200_000
    assert len(specs(", ".join(f"u{n}@x.org" for n in range(20_000)), nested + "a@x.org")) == 20_001
