"""An argument that `open` sets literally and that restricts nothing is found before the start."""

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.config.handlers.open_arguments import mistakes

COLUMNS = Columns([Column("recipient"), Column("points", Kind.INTEGER)])

FORMS = [
    "args.update(KEY=VALUE)",
    "args.update({'KEY': VALUE})",
    "args.update(**{'KEY': VALUE})",
    "args.update([('KEY', VALUE)])",
    "args.update({'KEY': VALUE} if handler_current_user else {})",
    "args.update({} | {'KEY': VALUE})",
    "args.update(args.get('x') or {'KEY': VALUE})",
    "args.__setitem__('KEY', VALUE)",
    "args.__ior__({'KEY': VALUE})",
    "dict.update(args, {'KEY': VALUE})",
    "operator.setitem(handler.args, 'KEY', VALUE)",
    "setattr(handler, 'args', dict(args, KEY=VALUE))",
    "[args.update({**{'KEY': VALUE}}) for _ in [1]]",
]
"""Ways to set an argument by a literal key."""


def keys_of_mistakes(source: str) -> list[str]:
    return [mistake.key for mistake in mistakes(source, COLUMNS)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("key", "value"),
    [("recpient", "['me']"), ("recpient", "[handler.current_user.id]"), ("points", "['many']")],
)
def test_argument_that_restricts_nothing_is_found_in_every_form(
    form: str, key: str, value: str
) -> None:
    assert keys_of_mistakes(form.replace("KEY", key).replace("VALUE", value)) == [key]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("key", "value"), [("recipient", "['me']"), ("points", "[handler.current_user.points]")]
)
def test_argument_that_restricts_is_accepted_in_every_form(form: str, key: str, value: str) -> None:
    assert keys_of_mistakes(form.replace("KEY", key).replace("VALUE", value)) == []


@pytest.mark.parametrize(
    "source",
    [
        "msg.update(recpient=['me'])",
        "args.get('recpient')",
        "args.update({handler.get_arg('by'): ['me']})",
        "mymodule.restrict(args)",
    ],
)
def test_key_that_is_not_a_literal_of_args_is_left_to_the_run(source: str) -> None:
    assert keys_of_mistakes(source) == []


def test_list_that_setdefault_fills_later_is_not_a_mistake() -> None:
    assert keys_of_mistakes("args.setdefault('recipient', []).append('me')") == []
    assert keys_of_mistakes("args.setdefault('recpient', []).append('me')") == ["recpient"]
