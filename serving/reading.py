"""Reading what was sent, strictly: JSON, forms, and the letters that a text may hold."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from serving.refusal import Refusal

MOST_KEYS = 64
MOST_DEPTH = 8
MOST_DIGITS = 15  # a whole number this long is exact as a float64
MOST_LETTERS = 2048
MOST_VALUES = 50_000  # a thousand devices with all their attributes; to read as many takes 20 ms


def check_text(text: str) -> None:
    """Refuse control, format, private-use, unassigned and surrogate characters, and line separators."""
    if text.isascii() and text.isprintable():
        return
    if len(text) > MOST_LETTERS:
        raise Refusal(422, "text_too_long", f"Some text is longer than {MOST_LETTERS} letters.")
    if any(unicodedata.category(letter) in _REFUSED_LETTERS for letter in text):
        raise Refusal(422, "text", "Some text holds control, invisible or unassigned characters.")


_REFUSED_LETTERS = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def read_json(body: bytes) -> Any:
    """Read JSON as RFC 8259 wants it exchanged: UTF-8 without a mark, no name twice, numbers that exist.

    Python's own reader takes NaN, 1e400 as infinity and the last of two equal names; so does pydantic's.
    Raises Refusal 400.
    """
    if body.count(b",") >= MOST_VALUES:
        raise Refusal(422, "too_many_values", f"The body has more than {MOST_VALUES} values.")
    try:
        value = _DECODER.decode(body.decode())
        _check_value(value, 1)
    except UnicodeDecodeError:
        raise Refusal(400, "not_utf8", "The body is not UTF-8.") from None
    except (ValueError, RecursionError):
        raise Refusal(400, "not_json", "The body is not JSON.") from None
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_KEYS:
        raise Refusal(422, "too_many_keys", f"An object has more than {MOST_KEYS} names.")
    read = dict(pairs)
    if len(read) < len(pairs):
        raise Refusal(400, "duplicate_key", "An object has a name twice.")
    return read


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise Refusal(422, "number", f"A whole number has more than {MOST_DIGITS} digits.")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits) if len(digits) <= MOST_LETTERS else math.inf
    if not math.isfinite(number):
        raise Refusal(422, "number", "A number is too large.")
    return number


def _constant(_: str) -> NoReturn:
    raise Refusal(400, "number", "NaN and Infinity are no JSON numbers.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_whole, parse_float=_float, parse_constant=_constant
)


def _check_value(value: Any, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise Refusal(422, "too_deep", f"The body is nested deeper than {MOST_DEPTH}.")
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, list):
        for member in value:
            _check_value(member, depth + 1)
    elif isinstance(value, dict):
        for name, member in value.items():
            check_text(name)
            _check_value(member, depth + 1)


def read_form(body: bytes) -> dict[str, str]:
    """Read an urlencoded form: at most MOST_KEYS fields, none twice, UTF-8. Raises Refusal 400."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_KEYS, errors="strict"
        )
    except ValueError:
        raise Refusal(400, "not_a_form", "The form could not be read.") from None
    for text in (part for pair in pairs for part in pair):
        check_text(text)
    return {name: value.strip() for name, value in _pairs(pairs).items()}


def read_query(query: bytes) -> dict[str, str]:
    """Read the query of an address: at most MOST_KEYS fields, none twice, UTF-8. Raises Refusal 400."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=MOST_KEYS, errors="strict")
    except ValueError:
        raise Refusal(400, "not_a_query", "The query could not be read.") from None
    for text in (part for pair in pairs for part in pair):
        check_text(text)
    if len(fields := dict(pairs)) < len(pairs):
        raise Refusal(400, "parameter_twice", "The query has a parameter twice.")
    return fields
