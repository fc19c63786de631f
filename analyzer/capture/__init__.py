"""Capture files in, packets out: containers, compression, link records. Knows nothing of TCP."""
