"""A storage network on one machine: rate-limited links, a real target, an MC/S and MPIO initiator.

The lab decides what was really done and writes it down beside the capture: every attempt at every
command, every login, fault and recovery. It knows nothing of how the analyzer reads captures, so that
what it wrote can be held against what the analyzer says. ``docs/lab.md`` says how to run it.
"""
