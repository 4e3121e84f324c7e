"""The store's tables beside the normalized ones, as numbered steps. A store remembers which steps it has taken."""

from __future__ import annotations

from models import records

NORMALIZED = tuple(records.ddl(t) for t in records.TABLES if t != "snapshots")
"""`snapshots` is a view of `figures`."""

BOOKKEEPING = (
    "CREATE TABLE IF NOT EXISTS meta (name VARCHAR, value VARCHAR)",
    # One row per raw record: what we hold of it, and when it last changed. record_key and the hashes are 8 bytes of MD5;
    # seen_run is the last run that stored it (a run that finds it unchanged does not touch the row).
    """CREATE TABLE IF NOT EXISTS source_records (
      source VARCHAR, stream VARCHAR, record_id VARCHAR, content_hash UBIGINT,
      first_run VARCHAR, changed_run VARCHAR, seen_run VARCHAR, state VARCHAR,
      record_key UBIGINT, snapshot_hash UBIGINT)""",
    # One row per stream: where it stands. `complete_from` is the day from which its history is known to be whole
    # (1970-01-01: from its beginning; NULL: not yet); `since` is the bound of the full walk under way.
    """CREATE TABLE IF NOT EXISTS cursors (
      source VARCHAR, stream VARCHAR, cursor VARCHAR, is_complete BOOLEAN, complete_from DATE,
      platform_total BIGINT, pulled_at TIMESTAMP, run_id VARCHAR, since TIMESTAMP)""",
    # One row per command that changed anything; state: running, finished, interrupted.
    """CREATE TABLE IF NOT EXISTS runs (
      run_id VARCHAR, command VARCHAR, started_at TIMESTAMP, ended_at TIMESTAMP, exit_code INTEGER, as_of DATE,
      summary VARCHAR, state VARCHAR)""",
    # One row per stream and run: fetched = stored + unchanged + set_aside; new_set_aside of the latter were never met before.
    """CREATE TABLE IF NOT EXISTS stream_counts (
      run_id VARCHAR, source VARCHAR, stream VARCHAR, fetched BIGINT, stored BIGINT, unchanged BIGINT, set_aside BIGINT,
      platform_total BIGINT, pages BIGINT, is_complete BOOLEAN, note VARCHAR,
      new_set_aside BIGINT)""",
    # One row per record that could not be used, from the first run that met it to the last.
    """CREATE TABLE IF NOT EXISTS set_aside (
      source VARCHAR, stream VARCHAR, record_id VARCHAR, line BIGINT, reason VARCHAR, first_run VARCHAR, last_run VARCHAR)""",
    # One row per file of pages kept as they came, in the raw folder; page is the number of the last of them.
    """CREATE TABLE IF NOT EXISTS raw_pages (
      run_id VARCHAR, source VARCHAR, stream VARCHAR, page BIGINT, file VARCHAR, pages BIGINT, records BIGINT, bytes BIGINT,
      fetched_at TIMESTAMP)""",
    # What `snapshots` shows, a contact's aggregates of one day in one row: a JSON list, null where nothing is new. A row of
    # their own for each would be most of what a pull of HubSpot writes. figure_names says which name stands at which place.
    """CREATE TABLE IF NOT EXISTS figures (
      source VARCHAR, stream VARCHAR, record_id VARCHAR, contact_id VARCHAR, taken_on DATE, names_id UBIGINT, figures VARCHAR)""",
    "CREATE TABLE IF NOT EXISTS figure_names (names_id UBIGINT, names VARCHAR[])",
    """CREATE VIEW IF NOT EXISTS snapshots AS
      SELECT source, stream, record_id, contact_id, name, value, taken_on FROM (
        SELECT f.*, unnest(n.names) AS name, unnest(from_json(f.figures, '["VARCHAR"]')) AS value
        FROM figures AS f JOIN figure_names AS n USING (names_id))
      WHERE value IS NOT NULL""",
    # One row per stream that is read whole now and then: when that last ended, and where the one under way stands.
    """CREATE TABLE IF NOT EXISTS full_reads (
      source VARCHAR, stream VARCHAR, ended_at TIMESTAMP, cursor VARCHAR, started_run VARCHAR, platform_total BIGINT)""",
    # One row per record the full read under way has met.
    "CREATE TABLE IF NOT EXISTS full_read_seen (source VARCHAR, stream VARCHAR, record_key UBIGINT)",
    # One row per record that the last full read did not meet; missed by the next one too, it is gone.
    "CREATE TABLE IF NOT EXISTS missed (source VARCHAR, stream VARCHAR, record_key UBIGINT, run_id VARCHAR)",
    # Every different answer of a contact about a channel, from when we first saw it.
    """CREATE TABLE IF NOT EXISTS consent_history (
      source VARCHAR, contact_id VARCHAR, channel VARCHAR, topic VARCHAR, status VARCHAR, platform_status VARCHAR,
      changed_at TIMESTAMP, reason VARCHAR, seen_at TIMESTAMP, run_id VARCHAR)""",
)

DERIVED = (
    # One row per person; person_id never changes while any of the person's records is there.
    """CREATE TABLE IF NOT EXISTS people (
      person_id VARCHAR, email VARCHAR, first_name VARCHAR, last_name VARCHAR, since TIMESTAMP, records INTEGER)""",
    # One row per contact record: whose it is and why.
    "CREATE TABLE IF NOT EXISTS person_links (source VARCHAR, contact_id VARCHAR, person_id VARCHAR, evidence VARCHAR)",
    # One row per record that its platform erased: which other record of the person holds it there.
    "CREATE TABLE IF NOT EXISTS id_held (source VARCHAR, contact_id VARCHAR, by_source VARCHAR, by_id VARCHAR)",
    # One row per purchase, however many platforms saw it.
    """CREATE TABLE IF NOT EXISTS purchases (
      purchase_id VARCHAR, person_id VARCHAR, source VARCHAR, stream VARCHAR, order_id VARCHAR, ordered_at TIMESTAMP,
      ordered_on DATE, currency VARCHAR, total DECIMAL(18,4), net DECIMAL(18,4), discount DECIMAL(18,4), tax DECIMAL(18,4),
      shipping DECIMAL(18,4), refunded DECIMAL(18,4), copies INTEGER, counts BOOLEAN, why_not VARCHAR)""",
    # One row per order record: which purchase it is a copy of and why.
    """CREATE TABLE IF NOT EXISTS purchase_copies (
      source VARCHAR, stream VARCHAR, order_id VARCHAR, purchase_id VARCHAR, evidence VARCHAR)""",
    # One row per stay of a person in a segment; days are the shop's. left_on is NULL while it lasts.
    """CREATE TABLE IF NOT EXISTS memberships (
      segment VARCHAR, person_id VARCHAR, entered_on DATE, left_on DATE, entered_run VARCHAR, left_run VARCHAR)""",
    # One row per segment and evaluation.
    """CREATE TABLE IF NOT EXISTS segment_counts (
      run_id VARCHAR, segment VARCHAR, as_of DATE, members_before BIGINT, entered BIGINT, members_left BIGINT,
      members_after BIGINT, is_ready BOOLEAN, not_ready VARCHAR, rule VARCHAR)""",
    # One row per person, score and cutoff, with what is needed to judge it later.
    """CREATE TABLE IF NOT EXISTS scores (
      score VARCHAR, person_id VARCHAR, value DOUBLE, tier VARCHAR, reasons VARCHAR, cutoff DATE, horizon_days INTEGER,
      model VARCHAR, n BIGINT, confidence VARCHAR, is_published BOOLEAN, made_run VARCHAR)""",
    "CREATE TABLE IF NOT EXISTS score_cards (score VARCHAR, cutoff DATE, made_run VARCHAR, is_published BOOLEAN, card VARCHAR)",
)

CHOICES = (
    # One row per person and segment the owner pinned: kind is always or never.
    """CREATE TABLE IF NOT EXISTS pins (
      person_id VARCHAR, segment VARCHAR, kind VARCHAR, because VARCHAR, since TIMESTAMP, run_id VARCHAR)""",
    # One row per segment that is not written until it is resumed.
    "CREATE TABLE IF NOT EXISTS paused (segment VARCHAR, because VARCHAR, since TIMESTAMP, run_id VARCHAR)",
    # One row per guard the owner overrode in a run.
    "CREATE TABLE IF NOT EXISTS overrides (guard VARCHAR, because VARCHAR, given_at TIMESTAMP, run_id VARCHAR)",
    # One row per target and ordinary run: how much it moved.
    "CREATE TABLE IF NOT EXISTS nights (run_id VARCHAR, platform VARCHAR, segment VARCHAR, changes BIGINT)",
)

WRITING = (
    # One row per object (tag or list) we made or were told to adopt.
    """CREATE TABLE IF NOT EXISTS ledger_objects (
      platform VARCHAR, object_id VARCHAR, name VARCHAR, segment VARCHAR, how VARCHAR, since TIMESTAMP, run_id VARCHAR)""",
    # One row per contact we added to an object and have not removed: all we may ever take away.
    """CREATE TABLE IF NOT EXISTS ledger (
      platform VARCHAR, object_id VARCHAR, segment VARCHAR, contact_id VARCHAR, person_id VARCHAR, added_at TIMESTAMP,
      run_id VARCHAR, is_seen BOOLEAN)""",
    # One row per batch: the intent is written before the platform hears of it, the outcome after.
    """CREATE TABLE IF NOT EXISTS journal (
      batch_id VARCHAR, run_id VARCHAR, platform VARCHAR, segment VARCHAR, object_id VARCHAR, object_name VARCHAR, starts VARCHAR,
      intent VARCHAR, state VARCHAR, outcome VARCHAR, intended_at TIMESTAMP, ended_at TIMESTAMP)""",
    # One row per change that a platform refused, until it succeeds or is wanted no more.
    """CREATE TABLE IF NOT EXISTS parked (
      platform VARCHAR, segment VARCHAR, object_id VARCHAR, contact_id VARCHAR, kind VARCHAR, reason VARCHAR,
      first_run VARCHAR, last_run VARCHAR)""",
    # One row per go-ahead the owner gave: to a destination (segment '') and to a segment's first fill.
    """CREATE TABLE IF NOT EXISTS go_aheads (
      platform VARCHAR, segment VARCHAR, rule_digest VARCHAR, people BIGINT, given_at TIMESTAMP, run_id VARCHAR)""",
)

PRIVACY = (
    # The audit trail: append-only; hash is over the entry and the hash of the one before. person_hash: see subject_keys.
    """CREATE TABLE IF NOT EXISTS audit (
      seq BIGINT, happened_at TIMESTAMP, run_id VARCHAR, platform VARCHAR, object_id VARCHAR, action VARCHAR,
      person_hash VARCHAR, detail VARCHAR, prev_hash VARCHAR, hash VARCHAR)""",
    # One row: where the trail ends, sealed with the store's key.
    "CREATE TABLE IF NOT EXISTS audit_head (seq BIGINT, hash VARCHAR, seal VARCHAR)",
    # One row per contact the trail speaks of: the key its person_hash was made with. Forgetting deletes it.
    "CREATE TABLE IF NOT EXISTS subject_keys (platform VARCHAR, contact_id VARCHAR, key VARCHAR)",
    # One row per identifier of somebody forgotten, hashed with the store's key: what it names is not taken in again.
    "CREATE TABLE IF NOT EXISTS forgotten (hash VARCHAR, since TIMESTAMP)",
    # One row per `forget`; state: begun (rows are gone, files not yet; traces says whose), erased (file to be rewritten), done.
    """CREATE TABLE IF NOT EXISTS erasures (
      erasure_id VARCHAR, state VARCHAR, traces VARCHAR, counts VARCHAR, asked_at TIMESTAMP, ended_at TIMESTAMP)""",
    # One row per person named by `import no_profiling`: by address, or by the contact id of any source.
    "CREATE TABLE IF NOT EXISTS no_profiling (email VARCHAR, contact_id VARCHAR, since TIMESTAMP, run_id VARCHAR)",
)

FIELDS = (
    # One row per field of a contact that we gave a value: the value we know to stand there.
    """CREATE TABLE IF NOT EXISTS field_values (
      platform VARCHAR, field VARCHAR, contact_id VARCHAR, person_id VARCHAR, value VARCHAR, written_at TIMESTAMP,
      run_id VARCHAR)""",
    # One row per value we set out to write, with what stood there before. state: intended, or what became of it.
    """CREATE TABLE IF NOT EXISTS field_writes (
      run_id VARCHAR, platform VARCHAR, field VARCHAR, contact_id VARCHAR, person_id VARCHAR, value_before VARCHAR,
      value_after VARCHAR, state VARCHAR, reason VARCHAR, written_at TIMESTAMP)""",
)

TELLING = (
    # One row per trigger that was given the go-ahead.
    "CREATE TABLE IF NOT EXISTS trigger_starts (trigger VARCHAR, digest VARCHAR, started_at TIMESTAMP, run_id VARCHAR)",
    # One row per stay a trigger knows of; happened_on: the day the person entered (or left). States: connector/triggers.py.
    """CREATE TABLE IF NOT EXISTS triggered (
      trigger VARCHAR, person_id VARCHAR, happened_on DATE, message_id VARCHAR, state VARCHAR, tries INTEGER,
      platform VARCHAR, contact_id VARCHAR, first_run VARCHAR, last_run VARCHAR, last_at TIMESTAMP, reason VARCHAR)""",
)

PARTS = (
    # One row per contact who had a segment's second thing (see connector/parts.py) by somebody else's hand: it stays there.
    "CREATE TABLE IF NOT EXISTS carried (platform VARCHAR, segment VARCHAR, contact_id VARCHAR)",
    "CREATE TABLE IF NOT EXISTS given (platform VARCHAR, segment VARCHAR, contact_id VARCHAR)",
)

GOODS = tuple(
    f"ALTER TABLE products ADD COLUMN IF NOT EXISTS {name} DECIMAL(18,4)" for name in ("list_price", "stock")
)  # a new store has them from its first step

MOVES = ("CREATE TABLE IF NOT EXISTS order_moves (source VARCHAR, contact_id VARCHAR, now_id VARCHAR)",)

ADDRESSES = (
    # One row per address or number that a contact had before it got another: what it says, it says for that one too.
    "CREATE TABLE IF NOT EXISTS former_addresses (source VARCHAR, contact_id VARCHAR, email VARCHAR, phone VARCHAR)",
)

REFUSED = (
    # Whether the address had said no when the contact left it; NULL until that was looked at.
    "ALTER TABLE former_addresses ADD COLUMN IF NOT EXISTS was_refused BOOLEAN",
)

DATED = (
    "ALTER TABLE orders ADD COLUMN IF NOT EXISTS cancelled_at TIMESTAMP",
    "ALTER TABLE purchases ADD COLUMN IF NOT EXISTS cancelled_at TIMESTAMP",
    # One row per category a product was seen in: since when we know it there. Platforms keep no history of it.
    "CREATE TABLE IF NOT EXISTS product_categories (source VARCHAR, product_id VARCHAR, category VARCHAR, since TIMESTAMP)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (*NORMALIZED, *BOOKKEEPING, *DERIVED, *CHOICES, *WRITING, *PRIVACY, *TELLING, *FIELDS),
    PARTS,
    GOODS,
    MOVES,
    ADDRESSES,
    REFUSED,
    DATED,
)
"""Step n brings a store from version n to n + 1. Append; never edit a step that has shipped."""
