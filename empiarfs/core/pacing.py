"""When bytes may be received, so that all receivers together keep below a rate.

Pure: what the receivers share is one number, the time up to which is *paid*. Who wants to
receive bytes waits until that time has come, and then moves it on by as long as the bytes take
at his rate. The next one waits for that, in whatever process he is.

    paid up to                        then
    --------------------------------  ---------------------------------------------------------
    a time to come                    wait for it
    now, or less than `BURST_NS` ago  receive; paid up to then and the bytes' time
    longer ago                        receive; as if it had been `BURST_NS` ago
    later than `FAR_NS` from now      nobody writes that: as if it were now

Since the time moves on from where it was and not from when somebody came, whoever wakes up a
bit late loses nothing, and the rate is exact.

Who has another limit pays another price: with 10 MB/s a byte costs twice the time that it
costs with 20 MB/s. Both together keep whole what each may use of a second: 5 and 10 MB/s, say.
"""

from __future__ import annotations

SECOND_NS = 1_000_000_000
# So much may come at once after a pause: 2.5 % of ten seconds, and more than a thread of a
# busy machine oversleeps.
BURST_NS = SECOND_NS // 4
FAR_NS = 60 * SECOND_NS


def cost_ns(count: int, bytes_per_s: int) -> int:
    """Return the nanoseconds that `count` bytes take.

    >>> cost_ns(500, 1000)
    500000000
    """
    return count * SECOND_NS // bytes_per_s


def paid_after(paid_ns: int, now_ns: int, cost: int, stand_back_ns: int = 0) -> tuple[int, int]:
    """Return up to when is paid afterwards, and how long to wait before asking again.

    Args:
        paid_ns: Up to when is paid so far.
        now_ns: The time.
        cost: What the bytes take, in nanoseconds.
        stand_back_ns: How much later to come than those who are in a hurry.

    Returns:
        The time paid up to, and 0 if the bytes may be received, else nanoseconds.

    >>> paid_after(100, 100, cost=30)
    (130, 0)
    >>> paid_after(100, 90, cost=30)
    (100, 10)
    """
    if paid_ns > now_ns + FAR_NS:
        paid_ns = now_ns
    wait_ns = paid_ns + stand_back_ns - now_ns
    if wait_ns > 0:
        return paid_ns, wait_ns
    return max(paid_ns, now_ns - BURST_NS) + cost, 0
