"""Carries out a staged, resumable, reversible migration between two sites."""
