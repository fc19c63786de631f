"""The initiator's own process: reads a plan on stdin, does the run, writes all that happened to a file.

A process of its own, because it has to live in the initiator's network namespace, and so that the lab
can end it. It says on stdout when the first command was submitted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.lab.configuration import Configuration
from benchmarks.lab.initiator.login import LoginRefusedError
from benchmarks.lab.initiator.pdus import ProtocolError
from benchmarks.lab.initiator.run import Run
from benchmarks.lab.initiator.truth import facts_of, truth_of
from benchmarks.lab.initiator.wire import ConnectionLostError, digest
from benchmarks.lab.workload import Item


def main() -> int:
    """Run the plan; 0 where it could be run at all, 2 with one line on stderr where not."""
    plan = json.load(sys.stdin)
    run = Run(
        Configuration.model_validate(plan["configuration"]), [Item(*values) for values in plan["items"]]
    )
    digest(b"")  # compiled now rather than in the middle of a login
    try:
        run.open()
    except (ConnectionLostError, ProtocolError, LoginRefusedError) as error:
        print(f"initiator: {error}", file=sys.stderr)
        return 2
    run.work(lambda began_at: print(json.dumps({"t_first_submit": began_at}), flush=True))
    run.close()
    Path(plan["output"]).write_text(json.dumps({"truth": truth_of(run), "facts": facts_of(run)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
