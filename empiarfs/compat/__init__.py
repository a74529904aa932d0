"""The interfaces of other packages, for code that was written for them.

Each is a subpackage by the other's name, built on `empiarfs.python` alone.
"""
