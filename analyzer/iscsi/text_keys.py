"""The text keys of RFC 7143 section 13, declared as one table, and the parsing of key=value segments.

Decides what a key means and what value two sides agree on. Does not know PDUs, connections or
sessions; the login tracker feeds it bytes. Values of CHAP and other authentication secrets are
dropped here, at the only door through which text enters, so that no table can hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Result(StrEnum):
    """How the value of a key comes about from what the two sides said."""

    ANSWER = "answer"  # the responder picks from the originator's list
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    AND = "and"
    OR = "or"
    DECLARATION = "declaration"  # each side states its own; nothing is negotiated


class Declarer(StrEnum):
    """Who may say a key."""

    INITIATOR = "initiator"
    TARGET = "target"
    BOTH = "both"


class Scope(StrEnum):
    """What a key holds for; keys of the session are said on its leading connection only."""

    SESSION = "session"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class TextKey:
    """One key. ``default`` is empty where the RFC gives none; ``section`` is that of RFC 7143."""

    name: str
    result: Result
    declarer: Declarer
    scope: Scope
    default: str
    section: str

    @property
    def is_leading_only(self) -> bool:
        """Whether only the first connection of a session negotiates it."""
        return self.scope is Scope.SESSION and self.result is not Result.DECLARATION


_SESSION, _CONNECTION = Scope.SESSION, Scope.CONNECTION
_BOTH, _INITIATOR, _TARGET = Declarer.BOTH, Declarer.INITIATOR, Declarer.TARGET

TEXT_KEYS: tuple[TextKey, ...] = (
    TextKey("AuthMethod", Result.ANSWER, _BOTH, _CONNECTION, "None", "12.1"),
    TextKey("HeaderDigest", Result.ANSWER, _BOTH, _CONNECTION, "None", "13.1"),
    TextKey("DataDigest", Result.ANSWER, _BOTH, _CONNECTION, "None", "13.1"),
    TextKey("MaxConnections", Result.MINIMUM, _BOTH, _SESSION, "1", "13.2"),
    TextKey("SendTargets", Result.DECLARATION, _INITIATOR, _SESSION, "", "13.3"),
    TextKey("TargetName", Result.DECLARATION, _BOTH, _SESSION, "", "13.4"),
    TextKey("InitiatorName", Result.DECLARATION, _INITIATOR, _SESSION, "", "13.5"),
    TextKey("TargetAlias", Result.DECLARATION, _TARGET, _SESSION, "", "13.6"),
    TextKey("InitiatorAlias", Result.DECLARATION, _INITIATOR, _SESSION, "", "13.7"),
    TextKey("TargetAddress", Result.DECLARATION, _TARGET, _SESSION, "", "13.8"),
    TextKey("TargetPortalGroupTag", Result.DECLARATION, _TARGET, _SESSION, "", "13.9"),
    TextKey("InitialR2T", Result.OR, _BOTH, _SESSION, "Yes", "13.10"),
    TextKey("ImmediateData", Result.AND, _BOTH, _SESSION, "Yes", "13.11"),
    TextKey("MaxRecvDataSegmentLength", Result.DECLARATION, _BOTH, _CONNECTION, "8192", "13.12"),
    TextKey("MaxBurstLength", Result.MINIMUM, _BOTH, _SESSION, "262144", "13.13"),
    TextKey("FirstBurstLength", Result.MINIMUM, _BOTH, _SESSION, "65536", "13.14"),
    TextKey("DefaultTime2Wait", Result.MAXIMUM, _BOTH, _SESSION, "2", "13.15"),
    TextKey("DefaultTime2Retain", Result.MINIMUM, _BOTH, _SESSION, "20", "13.16"),
    TextKey("MaxOutstandingR2T", Result.MINIMUM, _BOTH, _SESSION, "1", "13.17"),
    TextKey("DataPDUInOrder", Result.OR, _BOTH, _SESSION, "Yes", "13.18"),
    TextKey("DataSequenceInOrder", Result.OR, _BOTH, _SESSION, "Yes", "13.19"),
    TextKey("ErrorRecoveryLevel", Result.MINIMUM, _BOTH, _SESSION, "0", "13.20"),
    TextKey("SessionType", Result.DECLARATION, _INITIATOR, _SESSION, "Normal", "13.21"),
    TextKey("TaskReporting", Result.ANSWER, _BOTH, _SESSION, "RFC3720", "13.23"),
    TextKey("iSCSIProtocolLevel", Result.MINIMUM, _BOTH, _SESSION, "1", "13.24"),
    TextKey("OFMarker", Result.AND, _BOTH, _CONNECTION, "No", "13.25"),
    TextKey("IFMarker", Result.AND, _BOTH, _CONNECTION, "No", "13.25"),
    TextKey("OFMarkInt", Result.ANSWER, _BOTH, _CONNECTION, "", "13.25"),
    TextKey("IFMarkInt", Result.ANSWER, _BOTH, _CONNECTION, "", "13.25"),
)
TEXT_KEY_BY_NAME: dict[str, TextKey] = {key.name: key for key in TEXT_KEYS}

Said = tuple[tuple[str, str], ...]
"""Keys and values of one side, in order."""

NEGOTIATED, DECLARED, DEFAULT = "negotiated", "declared", "default"
"""Where a value of ``sessions.parameters`` comes from."""

NO_ANSWERS = ("NotUnderstood", "Irrelevant", "Reject")
"""Values that are no value (RFC 7143 section 6.2)."""

# Keys of authentication methods carry secrets or what secrets can be guessed from: CHAP_* (section
# 12.1.3), SRP_* and KRB_* and SPKM_* (RFC 3720 section 11.1). Only the method itself is kept.
_SECRET_PREFIXES = ("CHAP_", "SRP_", "KRB_", "SPKM_")
_LONGEST_KEY = 63
_LONGEST_VALUE = 8192


def is_secret(key: str) -> bool:
    """Whether the value of ``key`` may never be stored."""
    return key.upper().startswith(_SECRET_PREFIXES)


def parse_text(segment: bytes) -> dict[str, str]:
    """The keys of one whole text: ``key=value`` pairs, each ended by a zero byte (RFC 7143 section 6.1).

    A pair without ``=``, with an empty or overlong key, and any secret is left out. Of a key that
    stands twice the first counts. Bytes that are no UTF-8 are kept as replacement characters.
    """
    return dict(_parse_text(segment))


@lru_cache(maxsize=4096)
def _parse_text(segment: bytes) -> dict[str, str]:
    """As ``parse_text``; thousands of connections say the same."""
    keys: dict[str, str] = {}
    for pair in segment.split(b"\0"):
        name, equals, value = pair.partition(b"=")
        if not equals or not name or len(name) > _LONGEST_KEY:
            continue
        key = name.decode("utf-8", "replace")
        if not is_secret(key):
            keys.setdefault(key, value[:_LONGEST_VALUE].decode("utf-8", "replace"))
    return keys


def negotiate(key: TextKey, offered: str | None, answered: str | None) -> tuple[str, str] | None:
    """Value and origin of a negotiated ``key`` from what each side said, None where nothing is known.

    An answer that is no value, or none at all, leaves the result of the offer and the default: targets
    leave out booleans that the offer alone decides (section 6.2.2), and a refused key keeps its default.
    """
    offer = None if offered in NO_ANSWERS else offered
    answer = None if answered in NO_ANSWERS else answered
    if offer is None and answer is None:
        return (key.default, DEFAULT) if key.default else None
    if key.result is Result.ANSWER:
        chosen = answer if answer is not None else key.default
        return (chosen, NEGOTIATED) if chosen else None
    sides = [side for side in (offer, answer) if side is not None]
    if key.result in (Result.AND, Result.OR):
        deciding = "No" if key.result is Result.AND else "Yes"
        other = "Yes" if deciding == "No" else "No"
        if deciding in sides:
            return deciding, NEGOTIATED
        # Without both sides agreeing on the other value, the silent side keeps the default.
        return (other, NEGOTIATED) if len(sides) == 2 else (key.default, DEFAULT)
    numbers = [number for number in map(parse_number, sides) if number is not None]
    if not numbers:
        return (key.default, DEFAULT) if key.default else None
    # The responder answers with the result; where it kept silent the offer meets the default.
    if answer is None and (standard := parse_number(key.default)) is not None:
        numbers.append(standard)
    return str(min(numbers) if key.result is Result.MINIMUM else max(numbers)), NEGOTIATED


def negotiate_all(
    offered: Mapping[str, str], answered: Mapping[str, str], scope: Scope
) -> dict[str, tuple[str, str]]:
    """Value and origin of every negotiated key of ``scope`` (declarations are not among them)."""
    values: dict[str, tuple[str, str]] = {}
    for key in TEXT_KEYS:
        if key.scope is scope and key.result is not Result.DECLARATION:
            value = negotiate(key, offered.get(key.name), answered.get(key.name))
            if value is not None:
                values[key.name] = value
    return values


@lru_cache(maxsize=1024)
def wrong_answers(offers: Said, answers: Said, is_leading: bool) -> tuple[tuple[str, str], ...]:
    """Answers that the offers do not allow, as pairs of diagnostic code and detail.

    ``is_leading`` is whether the login began its session. What only one side said is no answer: either may
    begin a negotiation (RFC 7143 section 6.2).
    """
    offered, answered = dict(offers), dict(answers)
    found, misplaced = [], []
    for name, answer in answered.items():
        key, offer = TEXT_KEY_BY_NAME.get(name), offered.get(name)
        if key is None:
            continue
        if key.is_leading_only and not is_leading:
            misplaced.append(f"{name}={answer}")
        elif offer is not None and answer not in NO_ANSWERS and not _is_allowed(key, offer, answer):
            found.append(("key-answer-wrong", f"{name}: offered {offer}, answered {answer}"))
    if misplaced:
        found.append(("key-out-of-place", ", ".join(misplaced)))
    return tuple(found)


def _is_allowed(key: TextKey, offer: str, answer: str) -> bool:
    """Whether an answer follows from the offer by the key's rule (section 6.2.1 and 6.2.2)."""
    match key.result:
        case Result.DECLARATION:
            return True
        case Result.ANSWER:
            return answer in offer.split(",") or "~" in offer
        case Result.AND | Result.OR:
            deciding = "No" if key.result is Result.AND else "Yes"
            return answer in ("Yes", "No") and (offer != deciding or answer == deciding)
    offered, answered = parse_number(offer), parse_number(answer)
    if offered is None or answered is None:
        return False
    return answered <= offered if key.result is Result.MINIMUM else answered >= offered


def parse_number(text: str | None) -> int | None:
    """A numerical value, decimal or 0x hexadecimal (RFC 7143 section 6.1); None where it is none."""
    if text is None or not text.isascii() or len(text) > 20:
        return None
    try:
        return int(text, 16) if text[:2] in ("0x", "0X") else int(text, 10)
    except ValueError:
        return None
