"""What was secret on the wire is in nothing that leaves: no page, no folder, no export."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from analyzer.export.formats import EXPORTERS
from analyzer.report.page import page_text
from analyzer.report.study import Study
from analyzer.tables.folder import Timeline
from tests.conversations import FULL_FEATURE, Conversation, write_10

SECRET = "open-sesame-forty-thieves"


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    """A login by CHAP whose every value holds the secret, and a write whose data does."""
    said = Conversation()
    connection = said.connect()
    names = {"InitiatorName": "iqn.host", "TargetName": "iqn.disk"}
    keys = dict.fromkeys(("CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"), f"0x{SECRET}")
    said.login_request(connection, {**names, **keys, "AuthMethod": "CHAP"}, flags=0x81)
    said.login_response(connection, {**keys, "AuthMethod": "CHAP"}, flags=0x81)
    said.login_request(connection, FULL_FEATURE)
    said.login_response(connection, FULL_FEATURE)
    data = SECRET.encode().ljust(512, b"\0")
    said.command(connection, 1, 1, write_10(8, 1), data=512, segment=data)
    said.response(connection, 1)
    return said.timeline()


def holds_secret(content: bytes) -> bool:
    """Whether the secret is in there, plain or as base64 at any of its three offsets."""
    plain = SECRET.encode()
    coded = [base64.b64encode(b"\0" * shift + plain)[4 * (shift > 0) : -4] for shift in range(3)]
    return plain in content or any(one in content for one in coded)


def test_the_search_finds_what_is_there():
    for shift in range(3):
        assert holds_secret(base64.b64encode(b"x" * shift + b"xx=" + SECRET.encode() + b"yyy"))
    assert not holds_secret(b"open")


def test_neither_login_secret_nor_data_is_on_the_page(timeline: Timeline):
    page = page_text([Study(timeline)]).encode()
    assert b"iqn.host" in page
    assert not holds_secret(page)


def test_neither_login_secret_nor_data_is_in_a_folder(timeline: Timeline, tmp_path: Path):
    folder = timeline.write(tmp_path / "timeline")
    files = [path for path in folder.iterdir() if path.is_file()]
    assert len(files) > 5
    assert not [path.name for path in files if holds_secret(path.read_bytes())]


@pytest.mark.parametrize("exporter", EXPORTERS, ids=[one.name for one in EXPORTERS])
def test_neither_login_secret_nor_data_is_exported(exporter, timeline: Timeline, tmp_path: Path):
    exporter.write(timeline, tmp_path / f"out{exporter.suffix}")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path.name for path in files if holds_secret(path.read_bytes())]
