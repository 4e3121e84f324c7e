"""What the people of each segment did in the last 30 days, beside everybody: who opened, clicked, ordered and left, and what
they are expected to bring. It tells who behaves how, not what a mail or a segment has caused.
"""

from __future__ import annotations

from typing import Any

from connector.config import Config
from connector.facts import marks
from connector.store import Store
from models.segments import AsOf

DAYS = 30
EVERYBODY = "Everybody"

FIGURES = f"""
    WITH gone AS (
      SELECT DISTINCT p.person_id FROM fact_events JOIN person_numbers AS p USING (n)
      WHERE {{seen_events}} AND kind IN ('unsubscribe', 'complaint') AND day >= {{day}} - {DAYS}),
    inside AS (SELECT segment, person_id FROM members UNION ALL SELECT NULL, person_id FROM profile)
    SELECT i.segment, count(*) AS people, count(*) FILTER (emails_received_{DAYS}d > 0) AS mailed,
      count(*) FILTER (emails_received_{DAYS}d > 0 AND opens_human_{DAYS}d > 0) AS opened,
      count(*) FILTER (emails_received_{DAYS}d > 0 AND clicks_{DAYS}d > 0) AS clicked,
      count(*) FILTER (orders_{DAYS}d > 0) AS ordered, coalesce(CAST(sum(revenue_{DAYS}d) AS DOUBLE), 0) AS revenue,
      count(g.person_id) AS gone, avg(engagement_score) AS engagement, avg(clv) AS worth
    FROM inside AS i JOIN profile AS p USING (person_id) LEFT JOIN gone AS g USING (person_id)
    GROUP BY i.segment ORDER BY i.segment NULLS FIRST"""


def of_members(store: Store, config: Config, as_of: AsOf, names: set[str]) -> list[dict[str, str]]:
    """One row for everybody, then one a segment of those named. Needs the profile and who is in which segment."""
    rows = store.rows(FIGURES.format_map(marks(config, as_of)))
    return [_said(r) for r in rows if r["segment"] is None or r["segment"] in names]


def _said(row: dict[str, Any]) -> dict[str, str]:
    people, mailed = int(row["people"]), int(row["mailed"])
    return {
        "name": EVERYBODY if row["segment"] is None else str(row["segment"]),
        "people": f"{people:,}",
        "mailed": f"{mailed:,}",
        "opened": _share(row["opened"], mailed),
        "clicked": _share(row["clicked"], mailed),
        "ordered": _share(row["ordered"], people),
        "revenue": f"{row['revenue']:,.2f}",
        "gone": f"{int(row['gone']):,}",
        "engagement": "" if row["engagement"] is None else f"{row['engagement']:.0f}",
        "worth": "" if row["worth"] is None else f"{row['worth']:,.2f}",
    }


def _share(some: int, of: int) -> str:
    """Of nobody there is no share."""
    return f"{int(some) / of:.0%}" if of else ""
