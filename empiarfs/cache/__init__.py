"""Keeps blocks on this machine: in memory, and in the cache directory."""
