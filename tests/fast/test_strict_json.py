"""JSON bodies that other parsers let through."""

from decimal import Decimal

import pytest

from prodcore.errors import UnreadableInput
from prodcore.web.strict_json import dump, load


@pytest.mark.parametrize(
    "body",
    [
        b'{"price": NaN}',
        b'{"price": Infinity}',
        b'{"price": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b"[" * 100_000,
        b'{"a": ' * 50_000,
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"name": "caf\xe9"}',
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 0.' + b"9" * 5000 + b"}",
        b'{"a": 1e9999999999999999999}',
        b'{"a": 1E-9999999999999999999}',
        b'{"a": 0e-60000000}',
        b'{"a": [{"b": -1e400}]}',
        b'{"a": 1e65}',
        b'{"a": 1e' + b"0" * 90 + b"1}",
        b'{"a": ' + b"9" * 65 + b"}",
        b"1e1000000000000",
    ],
)
def test_body_that_is_not_plain_json_is_refused_with_a_sentence(body):
    with pytest.raises(UnreadableInput) as caught:
        load(body)
    assert caught.value.message


def test_fraction_is_read_as_decimal():
    assert load(b'{"price": 1.10}') == {"price": Decimal("1.10")}


def test_decimal_is_written_as_text():
    assert dump({"price": Decimal("1.10"), "name": "ñ"}) == '{"price":"1.10","name":"ñ"}'.encode()
