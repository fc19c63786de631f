"""Timelines and outcomes without private names: each replaced by the same other one everywhere.

Decides what is private: initiator and target names, aliases, values of vendors' keys, keys of persistent
reservations, network addresses, names of files and folders.
Block addresses, times and digests stay. Replacements say what they stand for and, for addresses, are of the
ranges kept for documentation (RFC 5737, RFC 3849) or for benchmarks (RFC 2544).
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable
from typing import Any, TypeVar

import pyarrow as pa

from analyzer.tables.folder import Outcome, TableFolder, Timeline

Folder = TypeVar("Folder", bound=TableFolder)

MARK = "is_anonymous"
"""Set in the manifest of what was made anonymous."""
_WITHOUT_NAMES = ("pdus", "tasks")
"""Tables whose texts hold no names."""
_PLAIN_COLUMNS = ("isid", "sha256", "code", "unit", "metric")
_RESERVATION_KEYS = ("key", "service_action_key")
_VENDOR_KEYS = ("X-", "Y-", "Z-", "X#", "Y#", "Z#")
"""Keys whose meaning their vendor knows (RFC 7143 section 13)."""
_SCSI_NAME = re.compile(r"\b(?:iqn\.\d{4}-\d{2}\.[^\s,;\"'\\]+|(?:eui|naa)\.[0-9A-Fa-f]{16,32})")
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:]))"
)
_PATH = re.compile(r"(?:[A-Za-z]:\\|/|\.{1,2}/)[^\s\"',;]+|[^\s\"',;/]+/[^\s\"',;]+")


class Disguise:
    """Consistent replacements for all that is private in some timelines."""

    def __init__(self, timelines: Iterable[Timeline]) -> None:
        """Names are numbered in the order in which they stand in the tables."""
        self._new: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        for timeline in timelines:
            sessions, connections = timeline.arrow["sessions"], timeline.arrow["connections"]
            self._learn("initiator", sessions, "initiator_name")
            self._learn("target", sessions, "target_name")
            for column in ("initiator_address", "target_address"):
                for address in connections.column(column).to_pylist():
                    self._address(address)
            for name in timeline.arrow["captures"].column("name").to_pylist():
                self._file(name)
        known = sorted((old for old in self._new if old), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def disguised(self, folder: Folder) -> Folder:
        """The same tables and manifest under other names."""
        arrow = {
            name: table if name in _WITHOUT_NAMES else self._table(table)
            for name, table in folder.arrow.items()
        }
        manifest = {**self._value(folder.manifest, ""), MARK: True}
        return type(folder)(arrow, manifest)

    def study(self, timeline: Timeline, outcomes: Iterable[Outcome]) -> tuple[Timeline, list[Outcome]]:
        """A timeline with its outcomes."""
        return self.disguised(timeline), [self.disguised(outcome) for outcome in outcomes]

    def text(self, text: str) -> str:
        """A text without private names; JSON stays JSON."""
        if text[:1] in "{[":
            try:
                value = json.loads(text)
            except ValueError:
                return self._plain(text)
            return json.dumps(self._value(value, ""), ensure_ascii=False)
        return self._plain(text)

    def _plain(self, text: str) -> str:
        # Where a replacement is found again it stands: it is not private, and not replaced twice.
        if self._known is not None:
            text = self._known.sub(lambda found: self._new[found[0]], text)
        made = set(self._new.values())
        text = _SCSI_NAME.sub(
            lambda found: found[0] if found[0] in made else self._name("name", found[0]), text
        )
        return _ADDRESS.sub(lambda found: found[0] if found[0] in made else self._address(found[0]), text)

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            # A parameter is a value with its origin; what it is stands one level above.
            return {
                self._plain(str(name)): self._value(item, key if name == "value" else str(name))
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._value(item, key) for item in value]
        if not isinstance(value, str):
            return value
        if key.endswith("Alias"):
            return self._name("alias", value)
        if key.startswith(_VENDOR_KEYS):
            return self._name("value", value)
        if key in _RESERVATION_KEYS:
            return self._reservation_key(value)
        if key == "arguments":
            return "(path)" if _PATH.search(value) else self._plain(value)
        return self._plain(value)

    def _table(self, table: pa.Table) -> pa.Table:
        for place, field in enumerate(table.schema):
            if field.type == pa.string() and field.name not in _PLAIN_COLUMNS:
                column = table.column(place).combine_chunks().dictionary_encode()
                if isinstance(column, pa.ChunkedArray):
                    continue  # a column without chunks holds nothing
                new = pa.array([self.text(one) for one in column.dictionary.to_pylist()], pa.string())
                table = table.set_column(place, field, new.take(column.indices))
        return table

    def _learn(self, word: str, table: pa.Table, column: str) -> None:
        for name in table.column(column).to_pylist():
            if name:
                self._name(word, name)

    def _name(self, word: str, name: str) -> str:
        return self._new.setdefault(name, "") or self._set(name, f"{word}-{self._next(word)}")

    def _reservation_key(self, key: str) -> str:
        """Keys are often made of a host's number or address; that of all zeros means none."""
        if not key.strip("0"):
            return key
        mark = f"reservation key {key}"
        return self._new.get(mark) or self._set(mark, f"{self._next('key'):0{len(key)}x}")

    def _file(self, path: str) -> None:
        """The path, and the name alone as texts may have it."""
        name = path.replace("\\", "/").rsplit("/", 1)[-1]
        suffix = "".join(re.findall(r"\.(?:pcapng|pcap|cap|gz|zst)\b", name))
        new = self._new.get(name) or f"capture-{self._next('capture')}{suffix}"
        self._new[name] = self._new[path] = new

    def _address(self, address: str) -> str:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return address
        if address in self._new:
            return self._new[address]
        if parsed.version == 6:
            return self._set(address, f"2001:db8::{self._next('IPv6'):x}")
        number = self._next("IPv4")
        if number < 255:
            return self._set(address, f"192.0.2.{number}")
        return self._set(address, f"198.{18 + (number >> 16) % 2}.{number >> 8 & 255}.{number & 255}")

    def _next(self, word: str) -> int:
        self._counts[word] = self._counts.get(word, 0) + 1
        return self._counts[word]

    def _set(self, old: str, new: str) -> str:
        self._new[old] = new
        return new
