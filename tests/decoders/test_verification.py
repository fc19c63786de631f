"""Every difference from Wireshark is explained, by the rules that a capture's own peculiarities call for.

``make verify-all`` does this for all captures; here stands one for each rule that a small capture shows.
"""

from __future__ import annotations

import pytest

from benchmarks.accuracy.verify_all import verified
from tests.real import capture_path


@pytest.mark.tools
@pytest.mark.parametrize(
    ("name", "rules"),
    [
        # tshark leaves the bytes out that it put together, where SCSI data are shorter than asked for
        ("pr.link2", set()),
        ("mcs-kill-erl2-reassign-lio", {"reserved-field"}),
        ("mcs-2conn-rr-snap128-tgt", {"snaplen"}),
    ],
)
def test_differences_are_explained(name: str, rules: set[str]) -> None:
    result = verified(capture_path(name))
    assert {difference.rule for difference in result.differences} == rules
    assert result.native > 100
    if not rules:
        assert result.equal == result.native == result.wireshark
