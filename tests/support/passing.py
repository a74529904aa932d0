"""Mounts by mount(2), and has another program serve it, as Apptainer's --fusemount does.

Run as a program, as root and in a mount namespace of its own, with the mount point, how it
is to end ("umount" or "TERM"), and the words of the command, of which "{}" becomes the
descriptor's path. It prints what it sees, as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys

# Not read-only, as far as the kernel knows: that is left to who serves it.
_WITHOUT_DEVICES = 2 | 4
_DETACH = 2


def main() -> None:
    """Mount, start the command, look, and end it."""
    point, end, *words = sys.argv[1:]
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"empiar", point.encode(), b"fuse.empiarfs", _WITHOUT_DEVICES, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    command = [word.replace("{}", f"/dev/fd/{device}") for word in words]
    process = subprocess.Popen(command, pass_fds=[device])
    os.close(device)
    # The kernel keeps us waiting until the mount is served, or nobody is left to serve it.
    seen = os.listdir(f"{point}/.empiar")
    status = subprocess.run(
        [*words[:3], "status", "--json", point], capture_output=True, text=True, check=False
    )
    try:
        os.close(os.open(f"{point}/.empiar/README.txt", os.O_WRONLY))
        written = ""
    except OSError as exc:
        written = str(exc.strerror)
    if end == "TERM":
        process.send_signal(signal.SIGTERM)
    else:
        libc.umount2(point.encode(), 0)
    returned = process.wait(60)
    try:
        left = sorted(os.listdir(point))
    except OSError as exc:
        left = [str(exc.strerror)]
    libc.umount2(point.encode(), _DETACH)
    found = {"seen": seen, "status": status.stdout, "ended": returned, "left": left}
    found["written"] = written
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
