"""Observe, decide, act, journal: the coordinator, the sync worker and the site agent."""
