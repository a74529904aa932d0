"""Speaks to the archive over HTTP; nothing else in empiarfs does."""
