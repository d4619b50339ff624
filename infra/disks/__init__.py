"""Disks of a stack that can lose what was not synced, as a disk does when its power is cut."""
