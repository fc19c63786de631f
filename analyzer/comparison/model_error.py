"""How far predictions err beyond chance and the baseline's error, as was measured on workloads really run.

Decides by how much the interval of every outcome but the baseline is wider for it. A good baseline does not
show what another policy brings to light: of 152 predictions among 29 recorded runs of
``benchmarks/lab/model_error.toml`` (reads, writes and both, 4 to 128 KiB, depths of 3 to 12, one or two links
of 15 to 60 Mbit/s, three repeats each) nine in ten lay so much or less outside the interval that draws and
baseline alone give; ``benchmarks.accuracy`` prints these figures below its table of intervals. Measures that
are not named were not measured.
"""

from __future__ import annotations

from collections.abc import Mapping

THROUGHPUT_PERCENT = 1.1
UNSEEN_PERCENT: Mapping[str, float] = {
    "duration_s": THROUGHPUT_PERCENT,
    "iops": THROUGHPUT_PERCENT,
    "read_bytes_per_s": THROUGHPUT_PERCENT,
    "written_bytes_per_s": THROUGHPUT_PERCENT,
    "bytes_per_s": THROUGHPUT_PERCENT,
    "latency_ns_mean": 1.3,
    "latency_ns_p50": 1.4,
    "latency_ns_p90": 1.4,
    "latency_ns_p99": 4.1,
}
"""By measure, in percent of the predicted figure."""
