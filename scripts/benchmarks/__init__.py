"""The benchmarks of empiarfs: the same work through several clients, side by side.

`scripts/bench` runs them. The parts, from the bottom up:

* `figures`     pure: what is measured, its units, its goals, and how samples become one value
* `readers`     programs of their own that read, list and probe, so that they share no GIL
* `archive`     what is served: a movie, a directory of 20,000 files, a small one
* `links`       how far away the archive is; the loopback device so far
* `clients`     what mounts it: empiarfs, and rclone as the peer
* `places`      a client's mounts: directories, processes, memory, and their end
* `stage`       all that one repetition of a scenario needs
* `scenarios`   what is done and timed
* `runner`      repetitions, clients in alternation, failures
* `report`      table and JSON

A scenario yields samples and knows no goals; a figure knows its goals and nothing of how it
came about. Another link, client or scenario is one more object in its module's table.
"""
