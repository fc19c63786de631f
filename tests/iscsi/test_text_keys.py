"""Text segments and negotiations as RFC 7143 sections 6.1, 6.2 and 13 have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.iscsi.text_keys import (
    DEFAULT,
    NEGOTIATED,
    TEXT_KEY_BY_NAME,
    TEXT_KEYS,
    Scope,
    negotiate,
    negotiate_all,
    parse_number,
    parse_text,
)


@pytest.mark.parametrize(
    ("segment", "keys"),
    [
        (b"", {}),
        (b"InitiatorName=iqn.a\0SessionType=Normal\0", {"InitiatorName": "iqn.a", "SessionType": "Normal"}),
        (b"A=1\0A=2\0", {"A": "1"}),
        (b"A=x=y\0", {"A": "x=y"}),
        (b"no equals\0=no key\0B=\0", {"B": ""}),
        (b"A=\xff\0", {"A": "\ufffd"}),
        (b"K" * 64 + b"=1\0", {}),
        (b"A=unfinished", {"A": "unfinished"}),
    ],
)
def test_a_text_is_pairs_ended_by_zero_bytes(segment: bytes, keys: dict[str, str]) -> None:
    assert parse_text(segment) == keys


@pytest.mark.parametrize(
    "key", ["CHAP_R", "CHAP_N", "CHAP_C", "CHAP_I", "CHAP_A", "chap_r", "SRP_M", "KRB_AP_REQ"]
)
def test_secrets_do_not_pass(key: str) -> None:
    assert parse_text(f"{key}=0x1234\0".encode()) == {}


@pytest.mark.parametrize(
    ("name", "offered", "answered", "expected"),
    [
        ("MaxBurstLength", "1048576", "262144", ("262144", NEGOTIATED)),
        ("MaxBurstLength", "16384", None, ("16384", NEGOTIATED)),
        ("MaxBurstLength", "0x4000", "32768", ("16384", NEGOTIATED)),
        ("MaxBurstLength", "lots", None, ("262144", DEFAULT)),
        ("DefaultTime2Wait", "0", "5", ("5", NEGOTIATED)),
        ("InitialR2T", "No", "No", ("No", NEGOTIATED)),
        ("InitialR2T", "Yes", None, ("Yes", NEGOTIATED)),  # one Yes decides; LIO then leaves the answer out
        ("InitialR2T", "No", None, ("Yes", DEFAULT)),
        ("ImmediateData", "No", None, ("No", NEGOTIATED)),
        ("ImmediateData", "Yes", "Yes", ("Yes", NEGOTIATED)),
        ("HeaderDigest", "CRC32C,None", "CRC32C", ("CRC32C", NEGOTIATED)),
        ("HeaderDigest", "CRC32C,None", "Reject", ("None", NEGOTIATED)),
        ("ErrorRecoveryLevel", None, None, ("0", DEFAULT)),
        ("MaxConnections", "8", "NotUnderstood", ("1", NEGOTIATED)),
    ],
)
def test_what_two_sides_agree_on(
    name: str, offered: str | None, answered: str | None, expected: tuple[str, str]
) -> None:
    assert negotiate(TEXT_KEY_BY_NAME[name], offered, answered) == expected


def test_keys_of_the_session_are_said_on_its_leading_connection() -> None:
    assert TEXT_KEY_BY_NAME["MaxConnections"].is_leading_only
    assert not TEXT_KEY_BY_NAME["HeaderDigest"].is_leading_only
    assert not TEXT_KEY_BY_NAME["TargetAlias"].is_leading_only


def test_all_negotiated_session_keys_have_a_value_without_any_text() -> None:
    values = negotiate_all({}, {}, Scope.SESSION)
    assert values["FirstBurstLength"] == ("65536", DEFAULT)
    assert "TargetName" not in values


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("0x1F", 31), ("-", None), (None, None), ("9" * 30, None)]
)
def test_numbers_are_decimal_or_hexadecimal(text: str | None, number: int | None) -> None:
    assert parse_number(text) == number


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_texts_negotiate_without_an_exception(offered: bytes, answered: bytes) -> None:
    values = negotiate_all(parse_text(offered), parse_text(answered), Scope.SESSION)
    assert set(values) <= {key.name for key in TEXT_KEYS}


@given(st.text(max_size=12), st.text(max_size=12), st.sampled_from(TEXT_KEYS))
def test_any_values_negotiate_without_an_exception(offered: str, answered: str, key: object) -> None:
    negotiate(key, offered, answered)  # type: ignore[arg-type]
