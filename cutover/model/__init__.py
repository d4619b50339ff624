"""Frozen facts that every other part speaks in; standard library only."""
