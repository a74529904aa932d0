"""The order of rows in the block database by which any of them is found by a random number.

Row numbers of a pool (`empiarfs.cache.eviction`) are without gaps, so that a random number is
a random block: pool p has the rows p × 2⁴⁰ + 1, + 2, and so on. Triggers see to it, whoever
inserts or deletes:

    when                        what
    --------------------------  ----------------------------------------------------------
    a row is inserted           it moves behind the last one of its pool
    a row is deleted            the last one of its pool moves into the gap
    a block goes elsewhere      both, as when a header becomes a whole first block

That costs 35 µs for a block stored and another evicted, of some 270, and nothing for one that
is read. A table of places would cost 40 bytes for each block besides.
What a pool takes on disk stands in the table `Pools`, which triggers keep as well.
Once a file is pinned the triggers look each row's file up (`empiarfs.cache.pins`); a database
without pins has triggers that don't.

Numbers that jump like this would confuse whoever walks upwards through them: a walk goes
downwards, since what moves, moves from the end into a gap further down.

Threading: functions of a database, for the threads that may use it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from empiarfs.cache.eviction import SHARED, Candidate, Pool, choose, pools_to_choose_from

Sql = Callable[..., sqlite3.Cursor]

SHIFT = 40
"""Row numbers of a pool begin at its number times two to the power of this."""

# `value` is diskcache's column for values that aren't files; in it stands the pool.
_BY_VALUE = "CASE WHEN NEW.value IN (1, 2) THEN NEW.value ELSE 0 END"
_FILL_GAP = f"""
    UPDATE Cache SET rowid = OLD.rowid WHERE rowid = (
        SELECT max(rowid) FROM Cache
        WHERE rowid > OLD.rowid AND rowid < ((OLD.rowid >> {SHIFT}) + 1) << {SHIFT});
"""
# Where it was counted, whatever stands in the row: pins come and go.
_SUBTRACT = f"UPDATE Pools SET size = size - OLD.size WHERE pool = OLD.rowid >> {SHIFT};"


def _triggers(pool: str) -> dict[str, str]:
    """Return what the triggers do, by name, where `pool` tells the pool of the new row.

    An UPDATE of the row number alone fires none of them.
    """
    add = f"UPDATE Pools SET size = size + NEW.size WHERE pool = ({pool});"
    move = f"""
        UPDATE Cache SET rowid = 1 + (
            SELECT ifnull(max(rowid), ({pool}) << {SHIFT}) FROM Cache
            WHERE rowid > ({pool}) << {SHIFT}
            AND rowid < (({pool}) + 1) << {SHIFT}
        ) WHERE rowid = NEW.rowid;
    """
    elsewhere = f"WHEN NEW.rowid >> {SHIFT} != ({pool})"
    return {
        "Pools_insert": f"AFTER INSERT ON Cache BEGIN {add} END",
        "Pools_delete": f"AFTER DELETE ON Cache BEGIN {_SUBTRACT} END",
        "Pools_update": f"AFTER UPDATE OF size, value ON Cache BEGIN {_SUBTRACT} {add} END",
        "Places_insert": f"AFTER INSERT ON Cache {elsewhere} BEGIN {move} END",
        "Places_delete": f"AFTER DELETE ON Cache BEGIN {_FILL_GAP} END",
        "Places_update": (
            f"AFTER UPDATE OF value ON Cache {elsewhere} BEGIN {move} {_FILL_GAP} END"
        ),
    }


STATEMENTS: Sequence[str] = (
    "CREATE TABLE IF NOT EXISTS Pools (pool INTEGER PRIMARY KEY, size INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO Pools VALUES (0, 0), (1, 0), (2, 0)",
    *(
        f"CREATE TRIGGER IF NOT EXISTS {name} {what}"
        for name, what in _triggers(_BY_VALUE).items()
    ),
)


def trigger_statements(is_pinned: str) -> Sequence[str]:
    """Return what replaces the triggers by those that know of pinned files.

    Args:
        is_pinned: An expression that tells whether the row `NEW` is of one.
    """
    pool = f"CASE WHEN {is_pinned} THEN {int(Pool.PINNED)} ELSE {_BY_VALUE} END"
    return [
        statement
        for name, what in _triggers(pool).items()
        for statement in (f"DROP TRIGGER {name}", f"CREATE TRIGGER {name} {what}")
    ]


def victim(sql: Sql, capacity: int, random: Random) -> Candidate | None:
    """Return the block to evict next, or None if there is none.

    Args:
        sql: Executes a statement, in a transaction of the caller's.
        capacity: Bytes that all blocks may take.
        random: Where chance comes from.
    """
    counts = {pool: _count(sql, pool) for pool in SHARED}
    taken = dict(sql("SELECT pool, size FROM Pools").fetchall())
    sizes = {pool: int(taken.get(pool, 0)) for pool in SHARED if counts[pool]}
    if not sizes:
        return None
    # What is pinned is no part of what the shares are shares of.
    shared = max(0, capacity - int(taken.get(Pool.PINNED, 0)))
    eligible = pools_to_choose_from(sizes, shared)
    pool, place = choose({pool: counts[pool] for pool in eligible}, random)
    # At or after: should there ever be a gap, the row behind it serves as well.
    rows = sql(
        "SELECT rowid, key, filename FROM Cache WHERE rowid >= ? ORDER BY rowid LIMIT 1",
        ((pool << SHIFT) + place,),
    ).fetchall()
    return _candidates(rows)[0] if rows else None


def rows_before(sql: Sql, rowid: int | None, count: int) -> list[Candidate]:
    """Return up to `count` rows before `rowid`, or the last ones, downwards."""
    select = "SELECT rowid, key, filename FROM Cache WHERE rowid < ? ORDER BY rowid DESC LIMIT ?"
    bound = len(Pool) << SHIFT if rowid is None else rowid
    return _candidates(sql(select, (bound, count)).fetchall())


def _count(sql: Sql, pool: Pool) -> int:
    """Return how many rows a pool has: the last one's place."""
    start = pool << SHIFT
    select = "SELECT max(rowid) FROM Cache WHERE rowid > ? AND rowid < ?"
    ((last,),) = sql(select, (start, start + (1 << SHIFT))).fetchall()
    return 0 if last is None else int(last) - start


def _candidates(rows: Sequence[Sequence[Any]]) -> list[Candidate]:
    return [Candidate(int(row), str(key), str(filename)) for row, key, filename in rows]
