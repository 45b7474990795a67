import string
import unicodedata

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import example, given
from hypothesis import strategies as st

from foundation.errors import Invalid
from mail.address import Address, normalise, normalise_fast

ATOM = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"
LETTERS = "abcXYZ019äÄßéİ\u0131Ş\u03c3ςΣǅΩÅ\u0301\u0345かが字א😀"

near_addresses = st.builds(
    "{}@{}".format,
    st.text(ATOM + ".", max_size=70),
    st.one_of(
        st.from_regex(r"[A-Za-z0-9.-]{0,20}\.[A-Za-z0-9-]{1,10}", fullmatch=True),
        st.lists(st.text(string.ascii_letters + string.digits + "-", max_size=66), max_size=8).map(
            ".".join
        ),
        st.sampled_from(
            ["b.de", "B.TEST", "xn--bcher-kva.de", "XN--BCHER-KVA.DE", "ab--c.de", "1.2.3.4"]
        ),
        st.sampled_from(SPECIAL_USE_DOMAIN_NAMES).map("x.{}".format),
    ),
)
wide_addresses = st.builds(
    "{}@{}".format,
    st.text(LETTERS, min_size=1, max_size=12),
    st.sampled_from(
        [
            "bücher.de",
            "BÜCHER.de",
            "xn--bcher-kva.de",
            "例え.jp",
            "straße.de",
            "x。de",
            "faß.example",
        ]
    ),
)


def the_reason(text: str, **given: bool) -> str:
    with pytest.raises(Invalid) as caught:
        normalise(text, **given)
    assert [e.field for e in caught.value.errors] == ["email"]
    return caught.value.errors[0].message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ä@example.com", "ä@example.com"),
        ("Müller@BÜCHER.de", "müller@xn--bcher-kva.de"),
        ("Info@Example.COM", "info@example.com"),
        ("cafe\u0301@example.com", "café@example.com"),
        ("a@XN--BCHER-KVA.de", "a@bücher.DE"),
        ("a@example。com", "a@example.com"),
        (" a@example.com\u00a0", "a@example.com"),
    ],
)
def test_two_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert normalise(one).key == normalise(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.b@example.com", "ab@example.com"),
        ("a+news@example.com", "a@example.com"),
        ("a@faß.de", "a@fass.de"),
        ("a@example.com", "a@mail.example.com"),
    ],
)
def test_different_mailboxes_have_different_keys(one: str, other: str) -> None:
    assert normalise(one).key != normalise(other).key


def test_mail_goes_to_the_address_as_it_was_written() -> None:
    address = normalise("  Jane.Doe@Example.com ")

    assert address.written == address.wire == "Jane.Doe@Example.com"
    assert (address.local, address.domain) == ("Jane.Doe", "example.com")
    assert not address.needs_smtputf8


def test_a_domain_beyond_ascii_travels_in_its_ascii_form() -> None:
    address = normalise("Jane@Bücher.example.de")

    assert address.wire == "Jane@xn--bcher-kva.example.de"
    assert address.key == "jane@xn--bcher-kva.example.de"
    assert not address.needs_smtputf8


def test_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    address = normalise("Müller@bücher.de")

    assert address.needs_smtputf8
    assert address.wire == "Müller@xn--bcher-kva.de"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("jane", "@-sign"),
        ("jane@localhost", "period"),
        ("jane@example.com\r\nBcc: all@example.com", "line break"),
        ("jane@example.com\n", "line break"),
        ("ja\x00ne@example.com", "control character"),
        ("jane@exam\u2028ple.com", "control character"),
        ("ja\x85ne@example.com", "control character"),
        ("Jane <jane@example.com>", "Write only what stands between < and >"),
        ("<jane@example.com>", "Write only what stands between < and >"),
        ('"jane doe"@example.com', "quotation marks"),
        ('"jane"@example.com', "quotation marks"),
        ("jane@[127.0.0.1]", "bracketed IP address"),
        ("a" * 65 + "@example.com", "64 bytes"),
        ("ä" * 33 + "@example.com", "64 bytes"),
        ("a@" + "b" * 60 + ".com" * 60, "254 bytes"),
        ("a@b@example.com", "@"),
        ("jane doe@example.com", "invalid characters"),
        ("jane..doe@example.com", "two periods"),
        ("jane@example.invalid", "special-use"),
        ("jane@1.2.3.4", "top-level"),
        ("\ud800@example.com", "unsafe"),
        ("jane@example\ud800.com", "unsafe"),
        ("jane\u202e@example.com", "unsafe"),
    ],
)
def test_what_is_no_address_is_refused_with_a_sentence(text: str, word: str) -> None:
    message = the_reason(text)

    assert word in message
    assert message.endswith(".")
    assert message.isprintable()
    assert len(message) < 400


def test_a_huge_text_is_refused_in_a_short_sentence() -> None:
    message = the_reason("a@" + "b" * 10_000_000)

    assert "254 bytes" in message
    assert len(message) < 400


def test_the_refused_address_stands_in_the_sentence() -> None:
    assert the_reason("jane@example").startswith('"jane@example" can\'t be used. ')


def test_names_under_test_are_taken_only_where_nothing_leaves_the_house() -> None:
    assert normalise("a@b.test", test_domains=True).key == "a@b.test"
    assert "special-use" in the_reason("a@b.test", test_domains=False)
    assert isinstance(normalise_fast("a@b.test"), Address)
    assert isinstance(normalise_fast("a@b.test", test_domains=False), str)


@given(wide_addresses)
def test_an_address_as_written_has_the_same_key_again(text: str) -> None:
    address = normalise_fast(text)
    if isinstance(address, Address):
        assert normalise(address.written) == address
        assert normalise(address.wire).key == address.key


@given(wide_addresses)
def test_case_and_composition_do_not_change_the_key(text: str) -> None:
    address = normalise_fast(text)
    if isinstance(address, Address):
        for form in ("NFC", "NFD"):
            local = unicodedata.normalize(form, address.local)
            again = normalise_fast(f"{local}@{address.domain.upper()}")
            assert isinstance(again, str) or again.key == address.key
        assert unicodedata.is_normalized("NFC", address.key)
        assert address.key == unicodedata.normalize("NFC", address.key.casefold())


@given(near_addresses | wide_addresses | st.text(max_size=30), st.booleans())
@example("a" * 64 + "@example.com", True)
@example("a" * 65 + "@example.com", True)
@example("a@" + ".".join(["b" * 63] * 3) + "." + "c" * 59, True)
@example("a@" + ".".join(["b" * 63] * 3) + "." + "c" * 60 + "d", True)
@example("a@" + "b" * 64 + ".com", True)
@example("a@b.co-", True)
@example("a@b.c0", True)
@example("a@B.Test ", False)
@example("a@b.de\n", True)
@example("Postmaster@example.com", True)
def test_the_fast_way_gives_the_answer_of_the_slow_one(text: str, test_domains: bool) -> None:
    fast = normalise_fast(text, test_domains=test_domains)

    if isinstance(fast, Address):
        assert fast == normalise(text, test_domains=test_domains)
    else:
        assert fast in the_reason(text, test_domains=test_domains)


@given(
    st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10})?@[a-z0-9]{1,20}\.(com|de|org)", fullmatch=True)
)
def test_ordinary_addresses_are_taken(text: str) -> None:
    address = normalise_fast(text.upper())

    assert isinstance(address, Address)
    assert address.key == text
