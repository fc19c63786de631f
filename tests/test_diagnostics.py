"""The catalogue is whole, and the log counts instead of repeating."""

from __future__ import annotations

import re

import pytest

from analyzer.diagnostics import CATALOGUE, DiagnosticLog


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_entry_says_in_sentences_what_it_means_and_what_to_do(code: str) -> None:
    kind = CATALOGUE[code]
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code)
    assert kind.meaning.endswith(".")
    assert kind.remedy.endswith(".")


def test_the_same_finding_is_counted_and_keeps_its_first_place() -> None:
    log = DiagnosticLog()
    for packet in (7, 8, 9):
        log.emit("snaplen-cut", "cut to 96 bytes", file_index=0, packet=packet)
    log.emit("snaplen-cut", "cut to 96 bytes", file_index=1, packet=1)
    entries = list(log)
    assert [(entry.count, entry.packet, entry.file_index) for entry in entries] == [(3, 7, 0), (1, 1, 1)]
    assert not log.has_errors()
    log.emit("no-iscsi")
    assert log.has_errors()


def test_a_code_outside_the_catalogue_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        DiagnosticLog().emit("no-such-code")
