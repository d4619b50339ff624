"""Pure decisions: frozen facts in, decisions out. No IO, no clock, no randomness."""
