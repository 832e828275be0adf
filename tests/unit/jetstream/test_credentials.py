"""Only the text of a whole .creds file reaches nats-py, which would search it forever."""

from base64 import urlsafe_b64encode

import nkeys  # type: ignore[import-untyped]
import pytest

from eventhub.errors import Misconfigured
from eventhub.jetstream.credentials import name_of, read_credentials

JWT = """-----BEGIN NATS USER JWT-----
eyJhbGciOiJlZDI1NTE5In0.e30.c2ln
------END NATS USER JWT------
"""


def seed_block() -> str:
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode()
    return f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_whole_file_is_passed_on_with_plain_line_ends(line_end: str) -> None:
    text = JWT + seed_block()
    assert read_credentials(text.replace("\n", line_end)) == text


@pytest.mark.parametrize("kind", ["no JWT", "no seed", "damaged seed", "empty JWT", "nothing"])
def test_a_text_that_lacks_a_part_is_refused(kind: str) -> None:
    seed = seed_block()
    texts = {
        "no JWT": seed,
        "no seed": JWT,
        "damaged seed": JWT + seed.replace("SU", "SX", 1),
        "empty JWT": "-----BEGIN NATS USER JWT-----" + seed,
        "nothing": "",
    }
    with pytest.raises(Misconfigured, match=r"broker\.credentials: not the text of a user's"):
        read_credentials(texts[kind])


def test_the_name_of_the_user_is_in_its_jwt() -> None:
    body = urlsafe_b64encode(b'{"name":"eventhub-hub"}').decode().rstrip("=")
    assert name_of(JWT.replace("e30", body) + seed_block()) == "eventhub-hub"
    for text in (JWT, JWT.replace("e30", "bm8"), JWT.replace(".e30", ""), "", seed_block()):
        assert name_of(text) is None
