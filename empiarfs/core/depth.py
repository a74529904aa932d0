"""How many requests to have under way on one connection.

A request that is accepted and never answered takes all behind it with it: they have to be sent
again. So the deeper the pipeline, the more that costs; the shallower, the more round trips.
If one request in n stalls, a depth of d sends some 1 + d / n requests for each answer; here d
is half of n, 1.5 requests.

n is estimated from what was seen, beginning with 33, which is EMPIAR's own:

    seen                                    depth
    --------------------------------------  -----
    nothing                                 16
    130 answers, no stall                   49
    400 answers and more, no stall          96
    one stall for each 33 answers           8 or 9
"""

from __future__ import annotations

_USUAL = 33.0
_LEAST = 8
_MOST = 96
# An answer says half as much against stalls as the assumption that there are some: those
# that stall are noticed later than those that are answered.
_WEIGHT = 0.5
# What is long past counts less and less.
_REMEMBERED = 2_000


class Depth:
    """Counts answers and stalls. Not thread-safe."""

    def __init__(self) -> None:
        self._answers = 0.0
        self._stalls = 0.0

    def answered(self) -> None:
        """Note an answer."""
        self._answers += 1
        if self._answers > _REMEMBERED:
            self._answers /= 2
            self._stalls /= 2

    def stalled(self) -> None:
        """Note a request that was not answered."""
        self._stalls += 1

    @property
    def requests(self) -> int:
        """How many requests to have under way on one connection."""
        one_in = (_USUAL + _WEIGHT * self._answers) / (1 + self._stalls)
        return max(_LEAST, min(int(one_in / 2), _MOST))
