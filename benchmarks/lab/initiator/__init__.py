"""An initiator in user space that speaks MC/S and MPIO and writes down everything it does.

One thread, one event loop. The folder goes from bytes to decisions: ``pdus`` and ``wire`` (framing,
digests, sockets), ``login``, ``tasks`` and ``session`` (tags, CmdSN, window, data transfer), ``paths``
(topology and policies), ``recovery``, ``run`` (the closed loop) and ``truth`` (what is written down).
"""
