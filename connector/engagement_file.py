"""engagement.csv: one row for every customer id with an order or a mail before the date, and one a campaign where asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import orjson

from connector import engagement
from connector.config import Config
from connector.score_attempts import Failed, tried
from connector.score_data import Customer, ShopData, customers, load, no_profiling
from connector.score_files import HIDDEN, RULE, Rows, save
from connector.store import Store
from models.segments import AsOf

NO_MAIL = "refused: no mail to this customer is known"
NO_HISTORY = "refused: the shop has no e-mail history"
FAILED = "refused: it could not be made"


def write(store: Store, config: Config, as_of: AsOf, out_dir: Path, horizon: int, campaigns: Sequence[str] = ()) -> Path:
    """customer_id, campaign_id (only where campaigns are asked for), score, status (what a row is that is no prediction)."""
    hidden = no_profiling(store, config)
    ids = _everybody(store, config, as_of)
    rows = [[customer, "", *answer] for customer, *answer in _people(store, as_of, horizon, ids, hidden)]
    if campaigns:
        rows += _campaigns(store, config, as_of, campaigns, ids, hidden)
    header = ["customer_id", "campaign_id", "score", "status"]
    dropped = {n for n, name in ((1, "campaign_id"), (3, "status")) if not any(r[n] for r in rows)}
    kept = [n for n in range(len(header)) if n not in dropped]
    file = out_dir / "engagement.csv"
    save(file, [header[n] for n in kept], [[r[n] for n in kept] for r in rows])
    return file


def _everybody(store: Store, config: Config, as_of: AsOf) -> list[Customer]:
    """Buyers by the id of their orders; people with mail and no order by the id of their mail."""
    buyers = customers(store, config, as_of)
    known = {c.person for c in buyers}
    mailed = store.sql(
        """SELECT coalesce(e.contact_id, e.email), l.person_id, min(e.source) FROM events AS e
           JOIN person_links AS l ON l.source = CASE WHEN e.contact_id IS NULL THEN 'email' ELSE e.source END
             AND l.contact_id = coalesce(e.contact_id, e.email)
           WHERE e.kind IN ('sent', 'open', 'click') AND e.occurred_at < ? GROUP BY ALL ORDER BY 1, 2""",
        [as_of.until_utc],
    )
    return [*buyers, *(Customer(*(str(v) for v in found)) for found in mailed if found[1] not in known)]


def _people(store: Store, as_of: AsOf, horizon: int, ids: list[Customer], hidden: set[str]) -> Rows:
    found = {
        p: (v, published)
        for p, v, published in store.sql(
            "SELECT person_id, value, is_published FROM scores WHERE score = 'engagement' AND cutoff = ? AND horizon_days = ?",
            [as_of.day, horizon],
        )
    }
    card = store.value("SELECT card FROM score_cards WHERE score = 'engagement' AND cutoff = ?", [as_of.day])
    nothing = FAILED if card and orjson.loads(card).get("problems") else NO_HISTORY
    rows = []
    for customer in ids:
        person = customer.person
        if person in hidden:
            rows.append([customer, "", HIDDEN])
        elif person in found:
            rows.append([customer, repr(found[person][0]), "" if found[person][1] else RULE])
        else:
            rows.append([customer, "", NO_MAIL if found else nothing])
    return rows


def _campaigns(
    store: Store, config: Config, as_of: AsOf, campaigns: Sequence[str], ids: list[Customer], hidden: set[str]
) -> Rows:
    @cache
    def known() -> tuple[ShopData, engagement.MailData]:
        data = load(store, config, as_of)
        return data, engagement.load(store, config, as_of, data, hidden)

    def one(asked: str) -> tuple[dict[str, float], str]:
        return engagement.campaign(*known(), asked)

    rows = []
    for asked in campaigns:
        made = tried(partial(one, asked))
        found, why = ({}, f"it could not be made ({made.where})") if isinstance(made, Failed) else made
        for customer in ids:
            person = customer.person
            if person in hidden:
                rows.append([customer, asked, "", HIDDEN])
            elif person in found:
                rows.append([customer, asked, repr(found[person]), ""])
            elif why:
                rows.append([customer, asked, "", f"refused: {why}"])
    return rows
