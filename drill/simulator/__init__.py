"""Production code on an event loop with virtual time and a seeded order."""
