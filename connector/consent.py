"""Who may be written, and why not: the table of section 3 of the design as one SQL statement.

A *no* (unsubscribed, erased) anywhere closes the person everywhere; *never asked* closes one platform only; a dead
address closes that address. Nothing in a rule can bypass this: desired membership is made here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import adapters
from connector.config import Config
from connector.store import Store
from models.changes import Member

TITLES = {"shopify": "Shopify", "mailchimp": "Mailchimp", "hubspot": "HubSpot", "import": "an import"}

NOT_THERE = "not on this platform"


@dataclass(frozen=True)
class Desired:
    """One segment on one platform: who belongs in it there, who does not and for which named reason (people counted).

    `closed` holds every contact of that platform that must not carry the tag because somebody said no or was erased, with
    the reason: a removal for such a reason is never held back by a guard. `reasons` says of everybody who carries a tag of
    ours and may not why, also of those whom only the platform closes (a dead address, an archived contact).
    """

    members: dict[str, Member] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)


class Conflict(NamedTuple):
    """A no in one place and a later yes on the destination itself; both dates in UTC. said_no_on: where the last no was."""

    person_id: str
    contact_id: str
    email: str
    said_no_on: str
    no_at: datetime
    yes_at: datetime


def judge(store: Store, config: Config, platform: str, channel: str) -> None:
    """Fill the temporary table `verdicts`: one row per contact of `platform`.

    Columns: platform, contact_id, email, person_id, marketing (why not, '' = may), service (why not, '' = may), is_no (the
    reason is a refusal or an erasure), is_paid_only (HubSpot non-marketing contact), is_unanswered (HubSpot has no answer);
    of a no with a later yes here is_conflict, no_on, no_at and yes_at.
    """
    hubspot = config.hubspot
    titles = {p: adapters.title(p) for p in config.platforms} | TITLES
    store.sql(
        _VERDICTS.replace("{told}", _TOLD.strip())
        .replace("{hidden}", _HIDDEN.strip())
        .replace("{erased}", _ERASED.strip())
        .replace("{closed_with}", CLOSED_WITH)
        .replace("{kept_opt_outs}", KEPT_OPT_OUTS)
        .replace("{given_up}", GIVEN_UP.replace("{known}", "TRUE")),
        {
            "platform": platform,
            "channel": channel,
            "legal_basis": bool(hubspot and hubspot.legal_basis),
            "subscription_type": hubspot.subscription_type if hubspot else "",
            "later_yes_wins": config.privacy.later_yes_wins,
            "sources": list(titles),
            "titles": list(titles.values()),
        },
    )


def desired(store: Store, purpose: str) -> Desired:
    """Who of the temporary table `wanted_people` (person_id, blocked) may carry a tag, by the last `judge`."""
    why = "service" if purpose == "service" else "marketing"
    people = store.sql(
        f"""
        WITH ranked AS (
          SELECT m.person_id, m.blocked, v.contact_id, v.email, v.{why} AS why, v.is_conflict, v.is_paid_only, v.is_unanswered,
            row_number() OVER (
              PARTITION BY m.person_id ORDER BY v.contact_id IS NULL, v.{why} <> '', v.rank, v.contact_id) AS n
          FROM wanted_people m LEFT JOIN verdicts v USING (person_id))
        SELECT person_id, contact_id, email,
          CASE WHEN blocked <> '' THEN blocked WHEN contact_id IS NULL THEN $not_there ELSE why END,
          coalesce(is_conflict, false), coalesce(is_paid_only, false), coalesce(is_unanswered, false)
        FROM ranked WHERE n = 1 ORDER BY contact_id, person_id
        """,
        {"not_there": NOT_THERE},
    )
    members: dict[str, Member] = {}
    excluded: dict[str, int] = {}
    counted = {"the no wins": 0, "the yes wins": 0, "paid": 0, "unanswered": 0}
    for person_id, contact_id, email, reason, is_conflict, is_paid_only, is_unanswered in people:
        counted["the no wins" if reason else "the yes wins"] += is_conflict
        if reason:
            excluded[reason] = excluded.get(reason, 0) + 1
        else:
            members[contact_id] = Member(contact_id, email or "", person_id)
            counted["paid"] += is_paid_only
            counted["unanswered"] += is_unanswered
    return Desired(
        members,
        dict(sorted(excluded.items())),
        closed=closed(store, purpose),
        notes=tuple(_notes(why, counted)),
        reasons=dict(
            store.sql(
                f"""SELECT contact_id, {why} FROM verdicts v SEMI JOIN ledger l USING (platform, contact_id)
                    WHERE {why} <> ''"""
            )
        ),
    )


def _notes(why: str, counted: dict[str, int]) -> list[str]:
    if why == "service":
        return ["a service segment: nobody may be mailed by it"]
    notes = [
        f"{counted[winner]} said no in one place and yes here at a later date; {winner} (privacy.later_yes_wins)"
        for winner in ("the no wins", "the yes wins")
        if counted[winner]
    ]
    if counted["unanswered"]:
        notes.append(f"{counted['unanswered']} never answered HubSpot and are written (hubspot.legal_basis is off)")
    if counted["paid"]:
        notes.append(f"{counted['paid']} are non-marketing contacts: they cannot be mailed until paid for")
    return notes


def conflicts(store: Store, platform: str) -> list[Conflict]:
    """Everybody with a dated no in one place and a later dated yes on `platform`, for which `judge` must have run last."""
    found = store.sql(
        """SELECT person_id, contact_id, coalesce(email, ''), no_on, no_at, yes_at FROM verdicts
           WHERE platform = ? AND is_conflict ORDER BY ALL""",
        [platform],
    )
    return [Conflict(*row) for row in found]


def closed(store: Store, purpose: str) -> dict[str, str]:
    """Contacts that may not carry a tag of that purpose because somebody said no or was erased, by the last `judge` -> why."""
    if purpose == "service":
        return dict(store.sql("SELECT contact_id, service FROM verdicts WHERE service = 'erased'"))
    return dict(store.sql("SELECT contact_id, marketing FROM verdicts WHERE is_no"))


def allowed(store: Store, purpose: str) -> frozenset[str]:
    """Contacts that may carry a tag of that purpose, by the verdicts of the last `judge`."""
    why = "service" if purpose == "service" else "marketing"
    return frozenset(r[0] for r in store.sql(f"SELECT contact_id FROM verdicts WHERE {why} = ''"))


LEFT = """
SELECT f.source, f.contact_id, f.email FROM former_addresses f
WHERE f.email IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM contacts k WHERE k.source = f.source AND k.email = f.email AND coalesce(k.state, 'live') = 'live')"""
"""Addresses that a contact had before, and that nobody of its platform has now: it still speaks for them."""

CLOSED_WITH = "SELECT source, contact_id, email, phone FROM former_addresses WHERE was_refused IS NOT false"
"""Addresses that a contact had, and that had said no when it left them: as long as they do, it is closed with them."""

_TOLD = rf"""
refusal_kinds AS (  -- few words in many rows; files of other programs spell them in their own way
  SELECT kind, word LIKE '%complaint%' OR word IN ('spam', 'abuse', 'spamreport', 'reportedspam') AS is_complaint
  FROM (SELECT kind, regexp_replace(lower(kind), '[^a-z]', '', 'g') AS word FROM (SELECT DISTINCT kind FROM events))
  WHERE word LIKE '%complaint%' OR word LIKE '%unsubscri%'
    OR word IN ('spam', 'abuse', 'spamreport', 'reportedspam', 'optout', 'optedout')),
told AS (
  SELECT e.source, e.contact_id, e.email, e.occurred_at FROM events e JOIN refusal_kinds k USING (kind)
  WHERE $channel = 'email' AND (k.is_complaint OR e.source = 'import')),
told_places AS (  -- the address said it, whoever holds it (shared, kept apart, of another record, left by whoever said it)
  SELECT source, email AS place, occurred_at FROM told WHERE email IS NOT NULL
  UNION ALL
  SELECT t.source, c.email, t.occurred_at FROM told t JOIN contacts c ON c.source = t.source AND c.contact_id = t.contact_id
  WHERE c.email IS NOT NULL
  UNION ALL
  SELECT t.source, f.email, t.occurred_at FROM told t JOIN ({LEFT}) f ON f.source = t.source AND f.contact_id = t.contact_id),
tellers AS (  -- joins on equal values only: one with OR would compare every complaint with every contact
  SELECT l.person_id, t.source, t.occurred_at
  FROM told t JOIN person_links l ON l.source = t.source AND l.contact_id = t.contact_id
  UNION ALL
  SELECT l.person_id, t.source, t.occurred_at FROM told t JOIN person_links l ON l.source = 'email' AND l.contact_id = t.email
  UNION ALL
  SELECT l.person_id, t.source, t.occurred_at FROM told_places t
  JOIN (
    SELECT source, contact_id, email FROM contacts
    UNION ALL
    SELECT source, contact_id, email FROM ({CLOSED_WITH})) k ON k.email = t.place
  JOIN person_links l ON l.source = k.source AND l.contact_id = k.contact_id)"""
"""Who complained or left, where an event is all that tells of it: person, source, when (UTC)."""

NO_ANSWER = "('archived', 'dead', 'pending', 'transactional', 'never_asked')"
"""States that are neither a yes nor a no: what was said before them still holds."""

_HIDDEN = rf"""
hidden AS (  -- a refusal is not forgotten where the contact was archived later, died, lost its address, or has yet to say yes
  SELECT h.source, h.contact_id, l.person_id FROM (
    SELECT source, contact_id FROM consent_history
    SEMI JOIN (SELECT source, contact_id FROM consent_history WHERE status = 'unsubscribed') u USING (source, contact_id)
    WHERE channel = $channel AND topic = '' AND status NOT IN {NO_ANSWER}
    GROUP BY ALL HAVING arg_max(status, seen_at) = 'unsubscribed') h
  ANTI JOIN (SELECT source, contact_id FROM answers WHERE topic = '' AND status IN ('subscribed', 'unsubscribed', 'erased')) a
    USING (source, contact_id)
  LEFT JOIN person_links l USING (source, contact_id))"""
"""Who refused, and whose record says nothing of it any more: source, contact, person (NULL for none). Over `answers`."""

_ERASED = r"""
SELECT l.person_id, c.source, NULL, true, true FROM consents c JOIN person_links l USING (source, contact_id)
  WHERE c.status = 'erased' GROUP BY l.person_id, c.source
  UNION ALL  -- Mailchimp and HubSpot keep whom an owner removes in view (archived); who is out of sight was erased there
  SELECT l.person_id, c.source, NULL, true, true FROM contacts c JOIN person_links l USING (source, contact_id)
  WHERE c.state = 'erased' OR (c.state = 'gone' AND c.source IN ('mailchimp', 'hubspot')) GROUP BY l.person_id, c.source"""

LAST_NO = f"""
SELECT * FROM consent_history
WHERE topic = '' AND status NOT IN {NO_ANSWER}
QUALIFY row_number() OVER (PARTITION BY source, contact_id, channel ORDER BY seen_at DESC) = 1 AND status = 'unsubscribed'"""
"""What no platform tells any more once a contact is archived, dead or asked anew: that its last clear answer was a no."""

OF_BEFORE = "said of an earlier address"

KEPT_COLUMNS = "source, contact_id, channel, topic, status, platform_status, changed_at, reason, seen_at, run_id"

KEPT_OPT_OUTS = f"""
SELECT {KEPT_COLUMNS} FROM (
  SELECT h.*, row_number() OVER (PARTITION BY source, contact_id, channel, topic
    ORDER BY seen_at DESC, platform_status = '{OF_BEFORE}') AS newest
  FROM consent_history AS h
  JOIN (SELECT DISTINCT source, contact_id FROM consent_history WHERE platform_status = '{OF_BEFORE}') AS m
    USING (source, contact_id)
  WHERE topic <> '') AS k
WHERE newest = 1 AND platform_status = '{OF_BEFORE}'"""
"""Opt-outs of one topic, said of an address that their contact has no more: no platform shows them any longer."""

REFUSED = f"WITH {_TOLD} SELECT DISTINCT person_id FROM tellers"
"""Everybody who refused by an event, whether a platform of ours knows them or not. $channel: 'email', 'sms'."""

REFUSING = f"""
WITH answers AS (
  SELECT source, contact_id, '' AS person_id, topic, status FROM consents WHERE channel = 'email'),
{_HIDDEN.strip()},
{_TOLD.strip()},
refused AS (
  SELECT source, contact_id FROM answers WHERE topic = '' AND status IN ('unsubscribed', 'erased')
  UNION SELECT source, contact_id FROM hidden),
said AS (
  SELECT k.email FROM refused JOIN contacts k USING (source, contact_id) WHERE k.email IS NOT NULL
  UNION SELECT email FROM refused JOIN ({LEFT}) USING (source, contact_id)
  UNION SELECT place FROM told_places)
SELECT email FROM said
UNION
SELECT k.email FROM said JOIN ({CLOSED_WITH}) f USING (email) JOIN contacts k USING (source, contact_id)
WHERE k.email IS NOT NULL""".replace("$channel", "'email'")
"""Addresses that said no themselves, whoever holds them: shared by many, or by people whom the owner keeps apart."""

DEAD = """
SELECT DISTINCT k.email FROM consents c JOIN contacts k USING (source, contact_id)
WHERE c.topic = '' AND c.channel = 'email' AND c.status = 'dead' AND k.email IS NOT NULL"""
"""Addresses that bounced for good, on whatever platform."""

CLOSED = f"""
WITH answers AS (
  SELECT c.source, c.contact_id, l.person_id, c.topic, c.status FROM consents c JOIN person_links l USING (source, contact_id)
  WHERE c.channel = $channel),
{_HIDDEN.strip()},
{_TOLD.strip()}
SELECT person_id FROM hidden UNION SELECT person_id FROM tellers UNION SELECT person_id FROM ({_ERASED})""".replace(
    "$channel", "'email'"
)
"""People who may not be mailed for what no record of theirs says at this moment: an earlier no, a complaint, an erasure."""

GIVEN_UP = """
  SELECT b.source, b.contact_id, b.channel FROM (
    SELECT *, max(says_email) OVER (PARTITION BY source, contact_id, channel) AS has_email_box FROM (
      SELECT source, contact_id, channel, topic, max(seen_at) AS told_at,
        max(CASE WHEN status = 'subscribed' THEN seen_at END) AS ticked_at,
        CASE WHEN lower(topic) LIKE '%email%' OR lower(topic) LIKE '%e-mail%' THEN 1 ELSE 0 END AS says_email
      FROM consent_history WHERE source = 'mailchimp' AND coalesce(topic, '') <> '' AND {known}
      GROUP BY source, contact_id, channel, topic) AS t) AS b
  LEFT JOIN (
    SELECT source, contact_id, channel, max(seen_at) AS yes_at FROM consent_history
    WHERE source = 'mailchimp' AND coalesce(topic, '') = '' AND status = 'subscribed' AND {known}
    GROUP BY source, contact_id, channel) AS y
    ON y.source = b.source AND y.contact_id = b.contact_id AND y.channel = b.channel AND y.yes_at > b.told_at
  LEFT JOIN (SELECT DISTINCT contact_id, channel FROM consents WHERE source = 'mailchimp' AND coalesce(topic, '') <> '') AS k
    ON k.contact_id = b.contact_id AND k.channel = b.channel
  WHERE b.says_email = b.has_email_box AND y.contact_id IS NULL AND k.contact_id IS NULL
  GROUP BY b.source, b.contact_id, b.channel
  HAVING max(CASE WHEN b.ticked_at IS NULL THEN 0 ELSE 1 END) = 1
    AND max(CASE WHEN b.ticked_at = b.told_at THEN 1 ELSE 0 END) = 0"""
"""Contacts of Mailchimp whose record shows no boxes any more, and who had ticked the one for e-mail (any, where none says e-mail) and
given it up before, without a yes since then: the box is gone from the record, which takes nothing back. {known}: which rows of the
history count."""

_VERDICTS = r"""
CREATE OR REPLACE TEMP TABLE verdicts AS
WITH names AS (SELECT unnest(CAST($sources AS VARCHAR[])) AS source, unnest(CAST($titles AS VARCHAR[])) AS title),
answers AS (
  -- contacts of one source can share an id across its streams only for imports; the strictest answer wins there
  SELECT c.source, c.contact_id, l.person_id, c.topic, c.status, c.changed_at, c.platform_status
  FROM consents c JOIN person_links l USING (source, contact_id)
  WHERE c.channel = $channel),
own AS (
  SELECT contact_id,
    bool_or(topic = '' AND status = 'subscribed') AS is_yes,
    bool_or(topic = '' AND status = 'unsubscribed') AS is_no,
    bool_or(topic = '' AND status = 'dead') AS is_dead,
    bool_or(topic = '' AND status = 'archived') AS is_archived,
    bool_or(topic = '' AND status = 'pending') AS is_unconfirmed,
    bool_or(topic = '' AND status = 'not_specified') AS is_not_specified,
    bool_or(status = 'not_specified' AND topic = '' AND platform_status = 'not specified') AS is_silent,
    max(changed_at) FILTER (WHERE topic = '' AND status = 'subscribed') AS yes_at
  FROM answers WHERE source = $platform GROUP BY contact_id),
topic_nos AS (  -- whoever of a person's contacts here said it, and of whichever address of theirs
  SELECT DISTINCT person_id FROM (
    SELECT source, contact_id FROM answers WHERE topic = $subscription_type AND status = 'unsubscribed'
    UNION
    SELECT source, contact_id FROM ({kept_opt_outs}) WHERE channel = $channel AND topic = $subscription_type)
  JOIN person_links USING (source, contact_id) WHERE source = $platform AND $platform = 'hubspot' AND $subscription_type <> ''),
boxes AS (  -- Mailchimp's marketing permissions: those whose text says e-mail, all of them where none says so
  SELECT contact_id, topic, bool_or(is_ticked_now) AS is_ticked_now, bool_or(was_ticked) AS was_ticked,
    regexp_matches(topic, 'e-?mail', 'i') AS says_email
  FROM (
    SELECT contact_id, topic, status = 'subscribed' AS is_ticked_now, false AS was_ticked
    FROM answers WHERE source = $platform AND topic <> ''
    UNION ALL
    SELECT a.contact_id, a.topic, NULL, true FROM answers a
    JOIN (
      SELECT contact_id, contact_id AS was FROM contacts WHERE source = $platform
      UNION  -- with a new address comes a new id
      SELECT merged_into, contact_id FROM contacts WHERE source = $platform AND merged_into IS NOT NULL) k
      ON k.contact_id = a.contact_id
    JOIN consent_history h ON h.source = a.source AND h.contact_id = k.was AND h.topic = a.topic
    WHERE a.source = $platform AND h.channel = $channel AND a.topic <> '' AND h.status = 'subscribed')
  GROUP BY contact_id, topic),
unticked AS (SELECT contact_id FROM ({given_up}) WHERE $platform = 'mailchimp' AND channel = $channel),
permissions AS (
  SELECT contact_id, bool_or(is_ticked_now) AS is_ticked, bool_or(was_ticked) AS was_ticked
  FROM (SELECT *, bool_or(says_email) OVER (PARTITION BY contact_id) AS has_email_box FROM boxes)
  WHERE $platform = 'mailchimp' AND says_email = has_email_box GROUP BY contact_id),
places AS (
  SELECT source, contact_id, state, CASE $channel WHEN 'email' THEN email
    WHEN 'sms' THEN regexp_replace(phone, '[^0-9]', '', 'g') END AS place FROM contacts),
speaking AS (  -- whoever speaks for an address: also the contact that had it before, until another of its platform has it
  SELECT source, contact_id, place FROM places
  UNION ALL
  SELECT f.source, f.contact_id, f.place FROM (
    SELECT source, contact_id, CASE $channel WHEN 'email' THEN email WHEN 'sms' THEN regexp_replace(phone, '[^0-9]', '', 'g') END
      AS place FROM former_addresses) f
  WHERE f.place IS NOT NULL AND NOT EXISTS (  -- one that is no longer there says nothing about it
    SELECT 1 FROM places c WHERE c.source = f.source AND c.place = f.place AND coalesce(c.state, 'live') = 'live')),
holding AS (  -- whoever has an address, or left it when it had said no
  SELECT source, contact_id, place FROM places WHERE source = $platform
  UNION
  SELECT source, contact_id, CASE $channel WHEN 'email' THEN email WHEN 'sms' THEN regexp_replace(phone, '[^0-9]', '', 'g') END
  FROM ({closed_with}) WHERE source = $platform),
{hidden},
{told},
refusals AS (
  SELECT person_id, source, max(changed_at) AS no_at, bool_or(changed_at IS NULL) AS is_undated, false AS is_erasure
  FROM answers WHERE topic = '' AND status = 'unsubscribed' GROUP BY person_id, source
  UNION ALL
  SELECT person_id, source, NULL, true, false FROM hidden
  UNION ALL  -- the address itself said no, also where its holders are not one person (shared, kept apart)
  SELECT l.person_id, a.source, max(a.changed_at), bool_or(a.changed_at IS NULL), false
  FROM answers a JOIN speaking said ON said.source = a.source AND said.contact_id = a.contact_id
  JOIN holding k ON k.place = said.place
  JOIN person_links l ON l.source = k.source AND l.contact_id = k.contact_id
  WHERE a.topic = '' AND a.status IN ('unsubscribed', 'erased') GROUP BY l.person_id, a.source
  UNION ALL
  SELECT l.person_id, h.source, NULL, true, false
  FROM hidden h JOIN speaking said ON said.source = h.source AND said.contact_id = h.contact_id
  JOIN holding k ON k.place = said.place
  JOIN person_links l ON l.source = k.source AND l.contact_id = k.contact_id
  UNION ALL  -- a complaint is a no; so is leaving, where only an imported event tells of it
  SELECT person_id, source, max(occurred_at), false, false FROM tellers GROUP BY person_id, source
  UNION ALL
  {erased}),
nos AS (
  SELECT r.person_id, c.contact_id,
    arg_min(coalesce(n.title, r.source), r.source) FILTER (WHERE NOT r.is_erasure) AS said_no_on,
    arg_min(coalesce(n.title, r.source), r.source) FILTER (WHERE r.is_erasure) AS erased_on,
    bool_or(r.is_erasure) AS is_erased_somewhere,
    bool_or(NOT r.is_erasure AND r.source = $platform) AS is_here,
    bool_or(NOT r.is_erasure AND r.is_undated) AS is_undated,
    arg_max(coalesce(n.title, r.source), r.no_at) FILTER (WHERE NOT r.is_erasure) AS no_on,
    max(r.no_at) AS no_at
  FROM refusals r
  JOIN person_links c ON c.person_id = r.person_id AND c.source = $platform
  LEFT JOIN names n ON n.source = r.source  -- a no counts, also of a platform whose section was taken out
  GROUP BY r.person_id, c.contact_id),
dead AS (
  SELECT DISTINCT k.email FROM contacts k JOIN answers a ON a.source = k.source AND a.contact_id = k.contact_id
  WHERE a.topic = '' AND a.status = 'dead' AND k.email IS NOT NULL),
judged AS (
  SELECT k.contact_id, k.email, l.person_id,
    k.state, own.*  EXCLUDE (contact_id), nos.* EXCLUDE (person_id, contact_id),
    topic_nos.person_id IS NOT NULL AS is_topic_no,
    unticked.contact_id IS NOT NULL OR (permissions.contact_id IS NOT NULL AND NOT permissions.is_ticked) AS is_unticked,
    unticked.contact_id IS NOT NULL OR coalesce(permissions.was_ticked AND NOT permissions.is_ticked, false) AS is_withdrawn,
    dead.email IS NOT NULL AS is_dead_address,
    k.is_marketable,
    coalesce(nos.said_no_on IS NOT NULL AND own.is_yes AND NOT nos.is_here AND NOT nos.is_undated
      AND own.yes_at > nos.no_at, false) AS is_conflict,
    row_number() OVER (PARTITION BY l.person_id ORDER BY k.email IS DISTINCT FROM p.email, k.created_at NULLS LAST,
      k.contact_id) AS rank
  FROM contacts k
  JOIN person_links l USING (source, contact_id)
  LEFT JOIN people p ON p.person_id = l.person_id
  LEFT JOIN own ON own.contact_id = k.contact_id
  LEFT JOIN topic_nos ON topic_nos.person_id = l.person_id
  LEFT JOIN permissions ON permissions.contact_id = k.contact_id
  LEFT JOIN unticked ON unticked.contact_id = k.contact_id
  LEFT JOIN nos ON nos.contact_id = k.contact_id
  LEFT JOIN dead ON dead.email = k.email
  WHERE k.source = $platform),
closed AS (
  SELECT *,
    CASE
      WHEN coalesce(is_erased_somewhere, false) THEN 'erased'
      WHEN state = 'archived' OR coalesce(is_archived, false) THEN 'archived'
      WHEN state IN ('gone', 'merged') THEN 'no longer there'
      ELSE '' END AS service
  FROM judged)
SELECT $platform AS platform, contact_id, email, person_id, service, rank, is_conflict, no_on, no_at, yes_at,
  CASE
    WHEN service <> '' THEN service
    WHEN said_no_on IS NOT NULL AND NOT (is_conflict AND $later_yes_wins) THEN 'said no on ' || said_no_on
    WHEN coalesce(is_no, false) THEN 'said no'
    WHEN is_topic_no THEN 'opted out of the subscription type'
    WHEN coalesce(is_dead, false) OR is_dead_address THEN 'dead address'
    WHEN coalesce(is_yes, false) AND is_unticked THEN 'the e-mail box is not ticked'
    WHEN coalesce(is_yes, false) THEN ''
    WHEN $platform = 'hubspot' AND coalesce(is_not_specified, false) AND NOT $legal_basis THEN ''
    WHEN coalesce(is_unconfirmed, false) THEN 'not confirmed yet'
    ELSE 'never asked' END AS marketing,
  (service = 'erased' OR (said_no_on IS NOT NULL AND NOT (is_conflict AND $later_yes_wins)) OR coalesce(is_no, false)
    OR is_topic_no OR is_withdrawn) AS is_no,
  ($platform = 'hubspot' AND is_marketable IS NOT DISTINCT FROM false) AS is_paid_only,
  ($platform = 'hubspot' AND coalesce(is_silent, false)) AS is_unanswered
FROM closed
"""
