"""Tests mirror the packages of ``analyzer``; what they share stands in this folder."""
