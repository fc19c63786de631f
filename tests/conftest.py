"""How property tests run: without deadlines, since a first example compiles; the same ones in CI."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("here", deadline=None)
# A run of CI answers for the change it runs on; new examples are for desks and for fuzzing.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
