"""What the user knows of a recording and its capture cannot tell: ``--set KEY=VALUE``, read into numbers.

    links.rate=40Mbps       of every recorded link, both ways
    links.1.rate=10Mbps     of one, counted from 0
    links.bucket=2000B      a token bucket of that size; 0 for a wire
    think_time=none         the application asks again at once

The keys of links are those of a scenario file. A scenario says what would be; these say what was, so that all
that is worked out from the recording rests on them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from analyzer.errors import UnusableInputError
from analyzer.replay.quantities import bits_per_second, byte_count

_KEY = re.compile(r"links(\.(?P<link>\d{1,3}))?\.(?P<name>[a-z_]+)")
THINK_TIME = "think_time"
_READERS = {"rate": bits_per_second, "bucket": byte_count}


@dataclass(frozen=True, slots=True)
class Given:
    """Facts of the recorded links, by number; -1 stands for all that have none of their own.

    Where ``has_no_think_time`` what passes between a completion and the next request is the initiator's own
    time, which the application sees as latency.
    """

    rate_bps: dict[int, int] = field(default_factory=dict)
    bucket_bytes: dict[int, int] = field(default_factory=dict)
    has_no_think_time: bool = False

    def rate_of(self, link: int) -> int | None:
        """The rate of a link in bit/s; None where it is not given."""
        return self.rate_bps.get(link, self.rate_bps.get(-1))

    def bucket_of(self, link: int) -> int | None:
        """The bucket of a link in bytes; None where it is not given."""
        return self.bucket_bytes.get(link, self.bucket_bytes.get(-1))


NOTHING_GIVEN = Given()


def given_by(settings: Sequence[str], source: str = "--set") -> Given:
    """The facts of some ``KEY=VALUE``. Raises UnusableInputError naming what is wrong in which."""
    found = Given()
    for setting in settings:
        key, equals, text = setting.partition("=")
        if key.strip() == THINK_TIME:
            if text.strip() != "none":
                raise UnusableInputError(
                    f"{THINK_TIME} can be none; any other is as recorded", source=source, place=setting
                )
            found = replace(found, has_no_think_time=True)
            continue
        match = _KEY.fullmatch(key.strip())
        if not equals or match is None or match["name"] not in _READERS:
            known = ", ".join([*(f"links.{name}, links.N.{name}" for name in _READERS), THINK_TIME])
            raise UnusableInputError(
                f"{setting!r} is not KEY=VALUE with a KEY of {known}", source=source, place=setting
            )
        try:
            number = _READERS[match["name"]](text)
        except ValueError as error:
            raise UnusableInputError(f"{key.strip()} {error}", source=source, place=setting) from None
        if match["name"] == "rate" and number == 0:
            raise UnusableInputError("a rate is more than 0", source=source, place=setting)
        facts = found.rate_bps if match["name"] == "rate" else found.bucket_bytes
        facts[-1 if match["link"] is None else int(match["link"])] = number
    return found
