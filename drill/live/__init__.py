"""Drills on real parts: the embedded stack's processes, databases and object stores."""
