import pytest
from werkzeug.exceptions import BadRequest

from foundation.errors import Invalid
from web.strict_json import parse_object


def fields_of(data: bytes) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse_object(data)
    return [error.field for error in caught.value.errors]


def test_an_object_is_read_as_it_is() -> None:
    assert parse_object('{"a": [1, 2.5, "ä", null, true, {"b": {}}]}'.encode()) == {
        "a": [1, 2.5, "ä", None, True, {"b": {}}]
    }


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": "\xff"}',
        b'\xff\xfe{\x00"\x00',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": 1} x',
        b'{"a": "\n"}',
        b" ",
    ],
)
def test_what_is_not_json_is_a_bad_request(data: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_object(data)


@pytest.mark.parametrize("depth", [51, 1_000, 200_000])
def test_deep_nesting_is_a_bad_request_and_no_crash(depth: int) -> None:
    with pytest.raises(BadRequest, match="nested deeper"):
        parse_object(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


def test_fifty_levels_are_read() -> None:
    data = b'{"a":' + b"[" * 49 + b"]" * 49 + b"}"

    assert list(parse_object(data)) == ["a"]


@pytest.mark.parametrize("data", [b"[]", b'"text"', b"1", b"null", b'"{}"'])
def test_a_body_that_is_no_object_is_named(data: bytes) -> None:
    assert fields_of(data) == ["body"]


def test_every_value_that_nobody_can_keep_is_named_by_its_path() -> None:
    data = rb'{"a": [0, {"b": 9223372036854775808}], "c": 1e999, "d": "\ud800", "e": "\u0000"}'

    assert fields_of(data) == ["a[1].b", "c", "d", "e"]


def test_a_number_of_ten_thousand_digits_is_out_of_range() -> None:
    assert fields_of(b'{"a": ' + b"9" * 10_000 + b"}") == ["a"]


def test_a_key_that_is_no_text_is_named_in_a_form_that_can_be_written() -> None:
    assert fields_of(rb'{"\udc00": 1}') == ["?"]
