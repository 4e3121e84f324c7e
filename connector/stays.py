"""Who is in which segment, as bits of a mask a person, and every stay as an interval of the shop's days.

Not a stage: `connector/segment.py` evaluates the rules and hands the masks over. Segments keep their bit (`segment_slots`)
from one evaluation to the next, so that the masks of two evaluations can be compared as numbers: only people with another
mask are looked at. `members` is a view over the masks of the evaluation before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from connector.store import Store

BLOCK = 62
"""Segments in one mask: a BIGINT without its sign, one spare."""

LOOK = "preview"
"""What a command that only looks has instead of a run. Nothing is kept under it; stores of earlier versions hold such rows."""

Counts = dict[str, tuple[int, int, int, int]]
"""Segment -> before, entered, left, after."""


def slots(store: Store, names: Iterable[str]) -> dict[str, int]:
    """The bit of each segment, numbered through all masks: known ones keep theirs, new ones take a free one."""
    store.sql("CREATE TABLE IF NOT EXISTS segment_slots (segment VARCHAR, slot INTEGER)")
    known = {str(s): int(n) for s, n in store.sql("SELECT segment, slot FROM segment_slots")}
    taken = set(known.values())
    found = {}
    free = (n for n in range(len(taken) + 1_000_000) if n not in taken)
    for name in names:
        found[name] = known[name] if name in known else next(free)
    return found


def blocks(found: Mapping[str, int]) -> int:
    return max(found.values(), default=0) // BLOCK + 1


def bit_of(slot: int) -> tuple[str, int]:
    return f"m{slot // BLOCK}", 1 << (slot % BLOCK)


def show_members(store: Store, found: Mapping[str, int]) -> None:
    """The view `members(segment, person_id)` over the table segment_masks."""
    is_table = store.value("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'members'")
    store.sql("DROP TABLE members" if is_table else "DROP VIEW IF EXISTS members")
    store.sql("CREATE OR REPLACE TABLE members_slots (segment VARCHAR, block INTEGER, bit BIGINT)")
    rows = [{"segment": n, "block": s // BLOCK, "bit": 1 << (s % BLOCK)} for n, s in found.items()]
    store.insert("members_slots", rows)
    cases = " ".join(f"WHEN {b} THEN m.m{b}" for b in range(blocks(found)))
    store.sql(f"""
        CREATE VIEW members AS SELECT s.segment, m.person_id FROM segment_masks AS m JOIN members_slots AS s
        ON (CASE s.block {cases} END & s.bit) <> 0""")


def forget_looks(store: Store, today: date | None) -> None:
    """Take back what looks wrote in earlier versions: their counts, and stays of days yet to come, which held everything back.

    A run looked ahead when its day is later than its own clock. What was written down while the clock itself was wrong stays.
    """
    bound = today or date.max
    if not store.sql("SELECT 1 FROM segment_counts WHERE run_id = ? OR as_of > ? LIMIT 1", [LOOK, bound]):
        return
    store.sql(
        """CREATE OR REPLACE TEMP TABLE looks AS SELECT $look AS run_id
           UNION ALL SELECT run_id FROM runs WHERE as_of > CAST(started_at AS DATE) + 1""",
        {"look": LOOK},
    )
    taken_back = [
        store.sql(f"{what} RETURNING 1", {"today": bound})
        for what in (
            "DELETE FROM memberships WHERE entered_on > $today AND entered_run IN (FROM looks)",
            "UPDATE memberships SET left_on = NULL, left_run = NULL WHERE left_on > $today AND left_run IN (FROM looks)",
            "DELETE FROM segment_counts WHERE as_of > $today AND run_id IN (FROM looks)",
        )
    ]
    store.sql("DELETE FROM segment_counts WHERE run_id = ?", [LOOK])
    store.sql("DROP TABLE looks")
    if any(taken_back):
        store.sql("DROP TABLE IF EXISTS segment_masks_kept")  # of a day yet to come: the next comparison is with the stays


def compare(store: Store, found: Mapping[str, int], day: date, *, is_look_back: bool) -> Counts:
    """Before, entered, left and after of every segment; who changed stands in `mask_changes(segment, person_id, is_in)`."""
    kept = _kept_blocks(store)
    if is_look_back or kept is None:
        return _compare_stays(store, day, is_look_back)
    known = dict(store.sql("SELECT segment, slot FROM segment_slots")) | dict(found)
    wide = max(blocks(found), kept)
    new = ", ".join(f"coalesce(n.m{b}, 0) AS n{b}" if b < blocks(found) else f"0 AS n{b}" for b in range(wide))
    old = ", ".join(f"coalesce(o.m{b}, 0) AS o{b}" if b < kept else f"0 AS o{b}" for b in range(wide))
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE mask_other AS
        SELECT * FROM (SELECT coalesce(n.person_id, o.person_id) AS person_id, {new}, {old}
          FROM segment_masks AS n FULL JOIN segment_masks_kept AS o ON o.person_id = n.person_id)
        WHERE {" OR ".join(f"n{b} <> o{b}" for b in range(wide))}""")
    store.sql("CREATE OR REPLACE TEMP TABLE mask_changes (segment VARCHAR, person_id VARCHAR, is_in BOOLEAN)")
    if store.value("SELECT count(*) FROM mask_other"):
        for name, slot in known.items():
            bit, b = 1 << (slot % BLOCK), slot // BLOCK
            store.sql(
                f"INSERT INTO mask_changes SELECT ?, person_id, (n{b} & {bit}) <> 0 FROM mask_other "
                f"WHERE (xor(n{b}, o{b}) & {bit}) <> 0",
                [name],
            )
    store.sql("DROP TABLE mask_other")
    changes = {
        str(s): (int(i), int(o))
        for s, i, o in store.sql(
            "SELECT segment, count(*) FILTER (is_in), count(*) FILTER (NOT is_in) FROM mask_changes GROUP BY 1"
        )
    }
    after = sizes(store, found)
    counts = {}
    for name, size in after.items():
        entered, left = changes.get(name, (0, 0))
        counts[name] = (size - entered + left, entered, left, size)
    return counts


def sizes(store: Store, found: Mapping[str, int]) -> dict[str, int]:
    """Members of each segment in segment_masks, in one pass."""
    if not found:
        return {}
    sums = ", ".join(f"count(*) FILTER ((m{s // BLOCK} & {1 << (s % BLOCK)}) <> 0)" for s in found.values())
    return dict(zip(found, (int(v) for v in store.sql(f"SELECT {sums} FROM segment_masks")[0]), strict=True))


def _kept_blocks(store: Store) -> int | None:
    """How many masks the last evaluation kept; None when they do not agree with the stays (somebody was erased)."""
    kept = store.value(
        "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'segment_masks_kept' AND column_name LIKE 'm%'"
    )
    if not kept:
        return None
    masks = " + ".join(f"bit_count(m{b})" for b in range(int(kept)))
    is_same = store.value(f"""
        SELECT (SELECT coalesce(sum({masks}), 0) FROM segment_masks_kept)
          = (SELECT count(*) FROM memberships WHERE left_on IS NULL)""")
    return int(kept) if is_same else None


def _compare_stays(store: Store, day: date, is_look_back: bool) -> Counts:
    store.sql(
        """CREATE OR REPLACE TEMP TABLE members_before AS SELECT DISTINCT segment, person_id FROM memberships
           WHERE ($look_back AND entered_on <= $day AND (left_on IS NULL OR left_on > $day))
              OR (NOT $look_back AND left_on IS NULL)""",
        {"look_back": is_look_back, "day": day},
    )
    store.sql("""
        CREATE OR REPLACE TEMP TABLE mask_changes AS
        SELECT coalesce(m.segment, b.segment) AS segment, coalesce(m.person_id, b.person_id) AS person_id,
          m.person_id IS NOT NULL AS is_in
        FROM members AS m FULL JOIN members_before AS b ON b.segment = m.segment AND b.person_id = m.person_id
        WHERE m.person_id IS NULL OR b.person_id IS NULL""")
    rows = store.sql("""
        SELECT segment, count(*) FILTER (w = 'b'), count(*) FILTER (w = 'i'), count(*) FILTER (w = 'o'),
          count(*) FILTER (w = 'm')
        FROM (SELECT segment, 'b' AS w FROM members_before UNION ALL SELECT segment, 'm' FROM members
              UNION ALL SELECT segment, CASE WHEN is_in THEN 'i' ELSE 'o' END FROM mask_changes) GROUP BY segment""")
    store.sql("DROP TABLE members_before")
    return {str(name): (int(b), int(i), int(o), int(m)) for name, b, i, o, m in rows}


def write(store: Store, found: Mapping[str, int], day: date, run_id: str) -> None:
    """End the stays of those who left, begin those of who entered, and keep the masks for the next comparison."""
    if store.value("SELECT count(*) FROM mask_changes WHERE NOT is_in"):
        store.sql("""
            CREATE OR REPLACE TEMP TABLE stays_ended AS SELECT m.* FROM memberships AS m
            JOIN mask_changes AS c ON NOT c.is_in AND c.segment = m.segment AND c.person_id = m.person_id
            WHERE m.left_on IS NULL""")
        # an UPDATE would have the next checkpoint write every stay again
        store.sql("""
            DELETE FROM memberships USING stays_ended AS e
            WHERE memberships.left_on IS NULL AND e.segment = memberships.segment AND e.person_id = memberships.person_id""")
        store.sql(
            """INSERT INTO memberships (segment, person_id, entered_on, left_on, entered_run, left_run)
               SELECT segment, person_id, entered_on, greatest(entered_on, $day), entered_run, $run FROM stays_ended""",
            {"day": day, "run": run_id},
        )
        store.sql("DROP TABLE stays_ended")
    store.sql(
        """INSERT INTO memberships (segment, person_id, entered_on, left_on, entered_run, left_run)
           SELECT segment, person_id, $day, NULL, $run, NULL FROM mask_changes WHERE is_in""",
        {"day": day, "run": run_id},
    )
    store.sql("CREATE OR REPLACE TABLE segment_masks_kept AS SELECT * FROM segment_masks")
    store.sql("DELETE FROM segment_slots")
    store.insert("segment_slots", [{"segment": n, "slot": s} for n, s in found.items()])
