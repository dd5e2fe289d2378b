"""Laws of reading JSON and forms strictly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import reading
from serving.refusal import Refusal

REFUSED = {
    b'{"a":NaN}': "number",
    b'{"a":Infinity}': "number",
    b'{"a":-Infinity}': "number",
    b'{"a":1e400}': "number",
    b'{"a":1234567890123456}': "number",
    b'{"a":1,"a":2}': "duplicate_key",
    b'{"a":{"b":1,"b":1}}': "duplicate_key",
    b'{"a":1,"\\u0061":2}': "duplicate_key",
    b'\xef\xbb\xbf{"a":1}': "not_json",
    '{"a":1}'.encode("utf-16"): "not_utf8",
    '{"a":1}'.encode("utf-16-le"): "not_json",
    '{"a":1}'.encode("utf-32-be"): "not_json",
    b'{"a":"\xff"}': "not_utf8",
    b'{"a":"\xed\xa0\x80"}': "not_utf8",
    b'{"a":"\\ud800"}': "text",
    b'{"a":"\\u0000"}': "text",
    b'{"a":"\\u202e"}': "text",
    b'{"a":"\\u200b"}': "text",
    b'{"a":"\\ue000"}': "text",
    b'{"a":"\\uffff"}': "text",
    b'{"a":"\\u2028"}': "text",
    b'{"\\u200d":1}': "text",
    b'{"a":1}x': "not_json",
    b'{"a":1}{"a":1}': "not_json",
    b'{"a":1_0}': "not_json",
    b'{"a":01}': "not_json",
    b'{"a":+1}': "not_json",
    b'{"a":.5}': "not_json",
    b'{"a":0x1}': "not_json",
    b"{'a':1}": "not_json",
    b'{"a":1,}': "not_json",
    b'{"a":"\n"}': "not_json",
    b'{"a":1} // why': "not_json",
    b"": "not_json",
    b"a=1": "not_json",
    b"[" * 100_000: "not_json",
    b"[" * 9 + b"]" * 9: "too_deep",
    json.dumps({f"k{n}": 1 for n in range(65)}).encode(): "too_many_keys",
}


@pytest.mark.parametrize("body", REFUSED, ids=[repr(body[:30]) for body in REFUSED])
def test_json_that_another_reader_would_bend_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        reading.read_json(body)
    assert refused.value.code == REFUSED[body]
    constant = body in (b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}')
    no_json = constant or refused.value.code in ("not_json", "not_utf8", "duplicate_key")
    assert refused.value.status == (400 if no_json else 422)


PLAIN = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.floats(-1e9, 1e9) | PLAIN


@given(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner), max_leaves=8
    )
)
def test_plain_json_comes_through_unchanged(value: object) -> None:
    try:
        read = reading.read_json(json.dumps(value).encode())
    except Refusal as refusal:
        assert refusal.code == "too_deep"
    else:
        assert read == value


def test_names_of_devices_in_any_language_are_text() -> None:
    reading.check_text("Citroën Ø 13″ – ™ 日本")


@pytest.mark.parametrize(
    "body", [b"a=1&a=2", b"a=%ff", b"a=%00", b"a=%E2%80%AE", b"a=\xff", b"&".join([b"a=1"] * 70)]
)
def test_a_form_with_a_field_twice_or_odd_letters_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        reading.read_form(body)
    assert refused.value.status in (400, 422)


def test_a_form_is_read_without_the_spaces_around() -> None:
    assert reading.read_form(b"a=+1+&b=&c=%C3%A9") == {"a": "1", "b": "", "c": "é"}
