"""Who may be written, and why not: the table of section 3 of the design as one SQL statement.

A *no* (unsubscribed, erased) anywhere closes the person everywhere; *never asked* closes one platform only; a dead
address closes that address. Nothing in a rule can bypass this: desired membership is made here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connector.config import Config
from connector.store import Store
from models.changes import Member

TITLES = {"shopify": "Shopify", "mailchimp": "Mailchimp", "hubspot": "HubSpot", "import": "an import"}

NOT_THERE = "not on this platform"


@dataclass(frozen=True)
class Desired:
    """One segment on one platform: who belongs in it there, who does not and for which named reason (people counted).

    `closed` holds every contact of that platform that must not carry the tag, with the reason: a removal for such a
    reason is never held back by a guard. `conflicts` counts people with a no in one place and a later yes here.
    """

    members: dict[str, Member] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def judge(store: Store, config: Config, platform: str, channel: str) -> None:
    """Fill the temporary table `verdicts`: one row per contact of `platform`.

    Columns: contact_id, email, person_id, marketing (why not, '' = may), service (why not, '' = may), is_no (the
    reason is a refusal or an erasure), is_conflict, is_paid_only (HubSpot non-marketing contact).
    """
    hubspot = config.hubspot
    store.sql(
        _VERDICTS,
        {
            "platform": platform,
            "channel": channel,
            "legal_basis": bool(hubspot and hubspot.legal_basis),
            "subscription_type": hubspot.subscription_type if hubspot else "",
            "later_yes_wins": config.privacy.later_yes_wins,
        },
    )


def desired(store: Store, purpose: str) -> Desired:
    """Who of the temporary table `wanted_people` (person_id, blocked) may carry a tag, by the last `judge`."""
    why = "service" if purpose == "service" else "marketing"
    people = store.sql(
        f"""
        WITH ranked AS (
          SELECT m.person_id, m.blocked, v.contact_id, v.email, v.{why} AS why, v.is_conflict, v.is_paid_only,
            row_number() OVER (
              PARTITION BY m.person_id ORDER BY v.contact_id IS NULL, v.{why} <> '', v.rank, v.contact_id) AS n
          FROM wanted_people m LEFT JOIN verdicts v USING (person_id))
        SELECT person_id, contact_id, email,
          CASE WHEN blocked <> '' THEN blocked WHEN contact_id IS NULL THEN $not_there ELSE why END, is_conflict, is_paid_only
        FROM ranked WHERE n = 1 ORDER BY contact_id, person_id
        """,
        {"not_there": NOT_THERE},
    )
    members: dict[str, Member] = {}
    excluded: dict[str, int] = {}
    conflicts = paid_only = 0
    for person_id, contact_id, email, reason, is_conflict, is_paid_only in people:
        if reason:
            excluded[reason] = excluded.get(reason, 0) + 1
        else:
            members[contact_id] = Member(contact_id, email or "", person_id)
            paid_only += bool(is_paid_only)
        conflicts += bool(is_conflict)
    closed = dict(
        store.sql(
            "SELECT contact_id, service FROM verdicts WHERE service <> ''"
            if why == "service"
            else "SELECT contact_id, marketing FROM verdicts WHERE is_no"
        )
    )
    notes = []
    if conflicts:
        notes.append(f"{conflicts} said no in one place and yes here at a later date; the no wins (privacy.later_yes_wins)")
    if paid_only:
        notes.append(f"{paid_only} are non-marketing contacts: they cannot be mailed until paid for")
    if why == "service":
        notes.append("a service segment: nobody may be mailed by it")
    return Desired(members, dict(sorted(excluded.items())), closed, tuple(notes))


def allowed(store: Store, purpose: str) -> frozenset[str]:
    """Contacts that may carry a tag of that purpose, by the verdicts of the last `judge`."""
    why = "service" if purpose == "service" else "marketing"
    return frozenset(r[0] for r in store.sql(f"SELECT contact_id FROM verdicts WHERE {why} = ''"))


_VERDICTS = r"""
CREATE OR REPLACE TEMP TABLE verdicts AS
WITH names(source, title) AS (
  VALUES ('shopify', 'Shopify'), ('mailchimp', 'Mailchimp'), ('hubspot', 'HubSpot'), ('import', 'an import')),
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
    bool_or(status = 'erased') AS is_erased,
    bool_or(topic = '' AND status = 'pending') AS is_unconfirmed,
    bool_or(topic = '' AND status = 'not_specified') AS is_not_specified,
    bool_or(topic <> '' AND topic = $subscription_type AND status = 'unsubscribed') AS is_topic_no,
    bool_or(topic <> '' AND regexp_matches(topic, 'e-?mail', 'i')) AS has_box,
    bool_or(topic <> '' AND regexp_matches(topic, 'e-?mail', 'i') AND status = 'subscribed') AS has_ticked_box,
    bool_or(topic <> '') AS has_topics,
    bool_or(topic <> '' AND status = 'subscribed') AS has_ticked_topic,
    max(changed_at) FILTER (WHERE topic = '' AND status = 'subscribed') AS yes_at
  FROM answers WHERE source = $platform GROUP BY contact_id),
refusals AS (
  SELECT person_id, source, max(changed_at) AS no_at, bool_or(changed_at IS NULL) AS is_undated, false AS is_erasure
  FROM answers WHERE topic = '' AND status = 'unsubscribed' GROUP BY person_id, source
  UNION ALL  -- the address itself said no, also where its holders are not one person (shared, kept apart)
  SELECT l.person_id, a.source, max(a.changed_at), bool_or(a.changed_at IS NULL), false
  FROM answers a JOIN contacts said ON said.source = a.source AND said.contact_id = a.contact_id
  JOIN contacts k ON k.source = $platform AND k.email = said.email
  JOIN person_links l ON l.source = k.source AND l.contact_id = k.contact_id
  WHERE a.topic = '' AND a.status = 'unsubscribed' GROUP BY l.person_id, a.source
  UNION ALL  -- a complaint is a no; so is leaving, where only an imported event tells of it
  SELECT l.person_id, e.source, max(e.occurred_at), false, false FROM events e
  JOIN person_links l ON (l.source = e.source AND l.contact_id = e.contact_id) OR (l.source = 'email' AND l.contact_id = e.email)
  WHERE $channel = 'email' AND (e.kind = 'complaint' OR (e.kind = 'unsubscribe' AND e.source = 'import'))
  GROUP BY l.person_id, e.source
  UNION ALL
  SELECT person_id, source, NULL, true, true FROM answers WHERE status = 'erased' GROUP BY person_id, source
  UNION ALL
  SELECT l.person_id, c.source, NULL, true, true FROM contacts c JOIN person_links l USING (source, contact_id)
  WHERE c.state = 'erased' GROUP BY l.person_id, c.source),
nos AS (
  SELECT r.person_id, c.contact_id,
    arg_min(n.title, r.source) FILTER (WHERE NOT r.is_erasure) AS said_no_on,
    arg_min(n.title, r.source) FILTER (WHERE r.is_erasure) AS erased_on,
    bool_or(r.is_erasure) AS is_erased_somewhere,
    bool_or(NOT r.is_erasure AND r.source = $platform) AS is_here,
    bool_or(NOT r.is_erasure AND r.is_undated) AS is_undated,
    max(r.no_at) AS no_at
  FROM refusals r
  JOIN person_links c ON c.person_id = r.person_id AND c.source = $platform
  JOIN names n ON n.source = r.source
  GROUP BY r.person_id, c.contact_id),
dead AS (
  SELECT DISTINCT k.email FROM contacts k JOIN answers a ON a.source = k.source AND a.contact_id = k.contact_id
  WHERE a.topic = '' AND a.status = 'dead' AND k.email IS NOT NULL),
judged AS (
  SELECT k.contact_id, k.email, l.person_id,
    k.state, own.*  EXCLUDE (contact_id), nos.* EXCLUDE (person_id, contact_id),
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
  LEFT JOIN nos ON nos.contact_id = k.contact_id
  LEFT JOIN dead ON dead.email = k.email
  WHERE k.source = $platform),
closed AS (
  SELECT *,
    CASE
      WHEN state = 'erased' OR coalesce(is_erased, false) OR coalesce(is_erased_somewhere, false) THEN 'erased'
      WHEN state = 'archived' OR coalesce(is_archived, false) THEN 'archived'
      WHEN state IN ('gone', 'merged') THEN 'no longer there'
      ELSE '' END AS service
  FROM judged)
SELECT contact_id, email, person_id, service, rank, is_conflict,
  CASE
    WHEN service <> '' THEN service
    WHEN said_no_on IS NOT NULL AND NOT (is_conflict AND $later_yes_wins) THEN 'said no on ' || said_no_on
    WHEN coalesce(is_no, false) THEN 'said no'
    WHEN $platform = 'hubspot' AND coalesce(is_topic_no, false) THEN 'opted out of the subscription type'
    WHEN coalesce(is_dead, false) OR is_dead_address THEN 'dead address'
    WHEN coalesce(is_yes, false) AND coalesce(has_box, false) AND NOT has_ticked_box THEN 'the e-mail box is not ticked'
    WHEN coalesce(is_yes, false) AND coalesce(has_topics, false) AND NOT coalesce(has_box, false) AND NOT has_ticked_topic
      AND $platform = 'mailchimp' THEN 'the e-mail box is not ticked'
    WHEN coalesce(is_yes, false) THEN ''
    WHEN $platform = 'hubspot' AND coalesce(is_not_specified, false) AND NOT $legal_basis THEN ''
    WHEN coalesce(is_unconfirmed, false) THEN 'not confirmed yet'
    ELSE 'never asked' END AS marketing,
  (service = 'erased' OR (said_no_on IS NOT NULL AND NOT (is_conflict AND $later_yes_wins)) OR coalesce(is_no, false)
    OR ($platform = 'hubspot' AND coalesce(is_topic_no, false))) AS is_no,
  ($platform = 'hubspot' AND is_marketable IS NOT DISTINCT FROM false) AS is_paid_only
FROM closed
"""
