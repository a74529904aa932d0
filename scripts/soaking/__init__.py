"""The soak of empiarfs: many readers, a network that breaks, a cache that is far too small.

`scripts/soak` runs it. The parts, from the bottom up:

* `served`   what is served, and by whom: a process of its own that does some requests wrong
* `readers`  programs of their own that read, map, list and stat, and compare every byte
* `trouble`  cuts the link, kills the server, swallows requests, all at random
* `daemon`   the mount's process seen from outside: descriptors, threads, memory
* `judge`    pure: from what was counted to what is wrong
* `run`      puts them together, and ends them all whatever happens

The files served also lie on this machine's disk; each read is compared with the same read
of those. Readers drop the kernel's pages of a file before they read it, or after a first
pass nothing would reach the mount any more.
"""
