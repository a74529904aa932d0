"""Makes and ends mounts.

request.py      what is to be mounted, and what was
table.py        the kernel's list of mounts
points.py       whether something can be mounted at a place
probe.py        whether a mount answers
launch.py       starts the daemon and waits for its mount
daemon.py       the process that serves a mount, its signals and its end
composition.py  puts the parts of the file system together
unmount.py      ends mounts
logs.py, stderr.py, kernel.py   what the daemon logs, what C says, what is tuned
"""
