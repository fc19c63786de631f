"""Recordings and outcomes side by side: differences, and which are real."""
