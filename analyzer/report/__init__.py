"""One interactive page from a timeline and outcomes. Never sees a simulator."""
