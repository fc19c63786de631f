"""What a user can have done wrong, and nothing else.

An ``UnusableInputError`` ends the command with one line and exit code 2. What a capture
lacks is no error but a diagnostic (``analyzer.diagnostics``); a broken invariant of ours is
an ordinary exception and is never caught.
"""

from __future__ import annotations


class UnusableInputError(Exception):
    """An input or an argument that cannot be used; ``str()`` is one line naming file and place."""

    def __init__(self, message: str, *, source: str | None = None, place: str | None = None) -> None:
        """``source`` names the file or option, ``place`` the byte, packet or key inside it."""
        self.message = message
        self.source = source
        self.place = place
        super().__init__(message)

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.source, self.place) if part)
        text = f"{where}: {self.message}" if where else self.message
        return "".join(character if character.isprintable() else "?" for character in text)
