"""The benchmarks of empiarfs: the same work through several clients, side by side.

`scripts/bench` runs them. The parts, from the bottom up:

* `figures`     pure: what is measured, its units, and how samples become one value
* `goals`       pure: what a figure has to reach
* `readers`     programs of their own that read, list and probe, so that they share no GIL
* `archive`     what is served: a movie, a directory of 20,000 files, a small one
* `far_archive` what else is served over slow links: a stack, headers, small files
* `images_archive` what is served to those who read images in Python
* `links`       how far away the archive is: the loopback device, and two simulated links
* `clients`     what mounts it: empiarfs, and rclone as the peer
* `places`      a client's mounts: directories, processes, memory, and their end
* `stage`       all that one repetition of a scenario needs
* `scenario`    something to measure
* `read_scenarios` one big file, also over HTTPS and by a `plain_user`
* `scenarios`   what else is done and timed
* `far`         how it is done over slow links; `far_scenarios`: what, with its goals
* `libraries` who reads images in Python, by the programs `library_readers`
* `images_scenarios` what they read, with its goals
* `runner`      repetitions, clients in alternation, failures
* `report`      table and JSON

A scenario yields samples and knows no goals; a figure knows its goals and nothing of how it
came about. Another link, client or scenario is one more object in its module's table.
"""
