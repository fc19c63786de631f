"""The workload of a timeline, run again under another scenario. Never sees a packet."""
