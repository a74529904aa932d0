"""Decisions without effects: no socket, disk, clock, lock or log below this package."""
