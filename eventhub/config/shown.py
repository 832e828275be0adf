"""Shown: a configuration as it may be printed, with its secrets hidden."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from eventhub.config.settings import Config
from eventhub.masking import HIDDEN, Masks, is_secret_name, without_literals

_EXPRESSIONS = frozenset(("open", "prepare", "modify", "condition", "message_default"))
_FREE = frozenset(("message_default", "default"))
"""The file chooses the names below these keys, so a number there may be a PIN."""


def as_shown(config: Config) -> dict[str, Any]:
    """Return a configuration as JSON values with the secrets hidden."""
    return {key: _shown(member, (key,), config.masks) for key, member in _plain(config).items()}


def fingerprints(config: Config) -> tuple[str, dict[str, str]]:
    """Return the SHA-256 of a configuration, and short ones of its entries of `url:`, by name.

    Secrets are left out, because a reader of the hash could try guesses, and so are the folders of
    this machine: equal configurations of several gateways have equal hashes. Those of the entries
    are the first 12 digits.
    """
    shown = as_shown(config)
    for name in ("path", "data", "warnings"):
        del shown[name]
    entries = {str(entry["name"]): _digest(entry)[:12] for entry in shown["endpoints"]}
    return _digest(shown), entries


def _digest(shown: object) -> str:
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def secrets_of(config: Config) -> Iterator[str]:
    """Yield each text whose key is the name of a secret."""
    return _secrets(_plain(config), ())


def _plain(config: Config) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(config, enc_hook=str)
    del plain["sources"], plain["masks"]
    for endpoint in plain["endpoints"]:
        endpoint.pop("kwargs", None)  # the file again, as it was before it was read
    return plain


def _shown(value: Any, keys: tuple[str, ...], masks: Masks) -> Any:
    match value:
        case None | bool():
            return value
        case dict():
            return {
                masks.mask_display(name): _shown(member, (*keys, name), masks)
                for name, member in _without_secret_default(value).items()
            }
        case list() | tuple():
            return [_shown(item, keys, masks) for item in value]
        case str():
            if _is_secret(keys):
                return HIDDEN
            text = masks.texts.get(value, value)
            return masks.mask_display(
                text if _EXPRESSIONS.isdisjoint(keys) else without_literals(text)
            )
        case _:
            return HIDDEN if _is_secret(keys) and not _FREE.isdisjoint(keys) else value


def _without_secret_default(value: dict[str, Any]) -> dict[str, Any]:
    """Hide the default of a column that has the name of a secret."""
    name = value.get("name")
    if isinstance(name, str) and is_secret_name(name) and value.get("default") is not None:
        return {**value, "default": HIDDEN}
    return value


def _is_secret(keys: tuple[str, ...]) -> bool:
    """Tell whether the value under these keys is a secret.

    Of the keys above it only those that the file has chosen count: `jwt:` is a section.
    """
    *above, last = keys
    return "headers" in above or is_secret_name(last) or any(map(is_secret_name, _free(keys)))


def _free(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the keys that the file has chosen."""
    return next((keys[i + 1 :] for i, key in enumerate(keys) if key in _FREE), ())


def _secrets(value: Any, keys: tuple[str, ...]) -> Iterator[str]:
    match value:
        case dict():
            for name, member in value.items():
                yield from _secrets(member, (*keys, name))
        case list() | tuple():
            for item in value:
                yield from _secrets(item, keys)
        case str() if keys and _is_secret(keys) and _FREE.isdisjoint(keys):
            yield value
        case _:
            pass
