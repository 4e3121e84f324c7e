"""Make values of an import's text, in SQL: `given` becomes `cleaned`, one row per line with its values and what is wrong.

Whether dates are day-first and whether a comma is a decimal point is found out from the whole column. A time without a
zone is the shop's; a date without a time is noon of the shop's day, so that no zone moves it to another day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector import countries, imports_free
from connector.config import Shop
from connector.imports_kinds import Kind, MapFile
from connector.imports_shapes import (
    COMMA,
    COMMA_SHAPE,
    DATE_ALONE,
    DAY_FIRST_OR_MONTH,
    MAIL_DATE,
    POINT,
    POINT_SHAPE,
    SECONDS,
    ZONED,
    date_order,
    define_local,
)
from models.records import EVENT_KINDS

if TYPE_CHECKING:
    from datetime import date

    import duckdb

CURRENCY_SIGNS = {"€": "EUR", "£": "GBP", "zł": "PLN", "₹": "INR", "R$": "BRL"}
"""Signs of one currency alone ($, ¥ and kr stand for several)."""
SIGN = r"R\$|[€$£¥₹]|zł"
DOLLARS = ("USD", "AUD", "CAD", "NZD", "HKD", "SGD", "MXN", "CLP", "COP", "ARS", "TWD")
"""Currencies of which shops write $."""

CURRENCIES = (
    *DOLLARS, "EUR", "GBP", "CHF", "PLN", "CZK", "DKK", "SEK", "NOK", "ISK", "HUF", "RON", "BGN", "RSD", "UAH", "TRY", "RUB", "ILS",
    "AED", "SAR", "ZAR", "NGN", "KES", "EGP", "MAD", "INR", "PKR", "BDT", "LKR", "THB", "VND", "IDR", "MYR", "PHP", "KRW", "JPY",
    "CNY", "BRL", "PEN", "UYU",
)  # fmt: skip
"""What beside an amount is a currency: three letters may be anything else too (12 pcs)."""

WORDS_SHOWN, LONGEST_WORD = 12, 40
"""Of unknown kinds of events so many are shown, and none that is a sentence."""

SIZE = "employees:"
"""What stands before the number in the id of a company of which nothing but its size is known."""

OBJECT = r'\{".*\}|\{\}'

STAGES = (
    "'subscriber', 'lead', 'marketingqualifiedlead', 'salesqualifiedlead', 'opportunity', 'customer', 'evangelist', 'other'"
)

CONTRACTS = {
    "active": "active live running current trial trialing in_trial non_renewing pending_cancel pending_cancellation aktiv",
    "paused": "paused on_hold suspended pausiert",
    "cancelled": "cancelled canceled terminated gekündigt storniert",
    "expired": "expired ended finished abgelaufen beendet",
    "failed": "failed past_due unpaid overdue payment_failed",
}  # fmt: skip
"""How a subscription stands -> the words programs have for it; one that is cancelled for its end still runs."""

CANCELLED = (
    "('cancelled', 'canceled', 'voided', 'void', 'declined', 'failed', 'expired', 'trash', 'storniert', 'abgebrochen', "
    "'fehlgeschlagen', 'cancelado')"
)
REFUNDED = "('refunded', 'returned', 'erstattet', 'zurückerstattet', 'retourniert')"
"""Words of shops for orders that came to nothing."""

NOES = ("abgemeldet", "abmeldung", "abbestellt", "ausgetragen", "désabonné", "désabonnement", "désinscription", "désinscrit",
        "uitgeschreven", "afgemeld", "disiscritto", "disiscrizione", "baja", "cancelar_suscripción", "removed_from_list")  # fmt: skip
"""Words of other languages for an unsubscribe."""

OTHER_KINDS = {
    "survey": "survey_answer survey_answers survey_response survey_responses quiz quiz_answer",
    "rating": "review reviews product_review product_rating",
    "page_view": "pageview pageviews page_viewed",
    "product_view": "product_viewed viewed_product productview",
    "search": "searched site_search", "download": "downloaded file_download",
    "form": "form_submit form_submission form_submitted", "ticket": "support_ticket support_request",
    "login": "log_in logged_in sign_in", "open": "opened email_open email_opened", "click": "clicked email_click email_clicked",
    "forward": "forwarded mail_forwarded",
}  # fmt: skip
"""A kind of event -> what programs call it."""

MACROS = (
    r"""CREATE MACRO with_zone(t) AS
          regexp_replace(regexp_replace(t, ' (UTC|GMT)$', '+00:00'), ' ?([+-][0-9]{2}):?([0-9]{2})$', '\1:\2')""",
    # Seconds since 1970, or thousandths, millionths, billionths of them.
    """CREATE MACRO of_seconds(t) AS make_timestamp(TRY_CAST(rpad(substr(t, 1, 16), 16, '0') AS BIGINT))""",
    # A text that a spreadsheet would run stands behind an apostrophe in files of ours (connector/exports.py) and of others.
    r"CREATE MACRO unguarded(t) AS CASE WHEN regexp_matches(t, '^''+[=+\-@\t\r\n|%＝＋－＠]') THEN substr(t, 2) ELSE t END",
    # Ann <ann@x.de>, mailto:ann@x.de and a full stop behind it are how people write the address of one.
    r"""CREATE MACRO address(t) AS nullif(regexp_extract(
          lower(t), '^(?:.*<|mailto:)?([^\s@<>,;:"]+@[^\s@<>,;:"]*[^\s@<>,;:".])[>.]?$', 1), '')""",
    r"""CREATE MACRO addresses(t) AS list_distinct(list_filter(
          list_transform(regexp_split_to_array(t, '[;,]'), lambda w: address(trim(w))), lambda w: w IS NOT NULL))""",
    "CREATE MACRO joined(t) AS regexp_replace(lower(trim(t)), '[ -]+', '_', 'g')",
    # A no is a no in whatever words a program's file has it.
    f"""CREATE MACRO event_kind(t) AS CASE
          WHEN regexp_matches(joined(t), '^(global_|list_)?(unsub|unsubscribed|unsubscription|opt_?(ed_)?out)s?$') THEN 'unsubscribe'
          WHEN joined(t) IN {NOES} THEN 'unsubscribe'
          WHEN regexp_matches(joined(t), '^(marked_as_|reported_)?(spam|abuse)(_complaint|_report)?s?$|^complained$') THEN 'complaint'
          {" ".join(f"WHEN joined(t) IN {tuple(w.split())} THEN '{k}'" for k, w in OTHER_KINDS.items())}
          ELSE list_extract(list_filter({list(EVENT_KINDS)}, lambda k: joined(t) IN (k, k || 's')), 1) END""",
    "CREATE MACRO is_nothing(t) AS t IS NULL OR lower(t) IN ('nan', 'nat', 'null', 'none', 'n/a', '-')",
    "CREATE MACRO something(t) AS CASE WHEN NOT is_nothing(t) THEN t END",
    "CREATE MACRO mail_date(t) AS CAST(try_strptime(t, '%a, %d %b %Y %H:%M:%S %z') AS TIMESTAMP)",
    rf"""CREATE MACRO without_signs(t) AS regexp_replace(replace(t, '−', '-'),
          '{SIGN}|[''’\s\x{{00A0}}\x{{202F}}\x{{2009}}]|kr\.?$|^[A-Z]{{3}}|[A-Z]{{3}}$|[.,]-{{1,2}}$', '', 'gi')""",
    # (5.00) and 5.00- are how bookkeepers write what went out.
    r"""CREATE MACRO digits(t) AS CASE WHEN regexp_full_match(without_signs(t), '\([0-9.,]+\)|[0-9.,]+-')
          THEN '-' || regexp_replace(without_signs(t), '[()-]', '', 'g') ELSE without_signs(t) END""",
    # What a cell of an amount says of its currency: USD 100, 100usd, 100 $.
    rf"""CREATE MACRO cell_currency(t) AS CASE WHEN regexp_matches(t, '[A-Za-z€$£¥₹]') THEN coalesce(
          nullif(regexp_extract(t, '^\s*(?i)({"|".join(CURRENCIES)})[^A-Za-z]', 1), ''),
          nullif(regexp_extract(t, '[0-9]\s*(?i)({"|".join(CURRENCIES)})\s*$', 1), ''),
          nullif(regexp_extract(t, '{SIGN}'), '')) END""",
    f"CREATE MACRO part(t, n) AS regexp_extract(t, '{DAY_FIRST_OR_MONTH}', n)",
    """CREATE MACRO full_year(y) AS CASE WHEN length(y) = 4 THEN y WHEN y < '70' THEN '20' || y ELSE '19' || y END""",
    """CREATE MACRO clock(t) AS CASE WHEN coalesce(trim(t), '') = '' THEN TIME '00:00:00'
         WHEN regexp_matches(t, '[AaPp]\\.?[Mm]\\.?$')
           THEN try_strptime(regexp_replace(upper(t), '[. ]', '', 'g'), ['%I:%M:%S%p', '%I:%M%p', '%I%p'])::TIME
         ELSE coalesce(TRY_CAST(t AS TIME), try_strptime(t, '%H:%M')::TIME) END""",
    """CREATE MACRO day_month(y, m, d) AS TRY_CAST(full_year(y) || '-' || m || '-' || d AS DATE)""",
    # A year of two digits was taken for one to come.
    "CREATE MACRO born(t) AS CASE WHEN t > current_date THEN t - INTERVAL 100 YEAR ELSE t END",
    # Words stand alone, in quotes, or as a list in brackets: a, b / "a","b" / ["a","b"].
    r"""CREATE MACRO split_words(t) AS list_filter(list_transform(
          regexp_split_to_array(regexp_replace(t, '^\[(.*)\]$', '\1'), '[,;]'), lambda w: trim(w, ' "')), lambda w: w <> '')""",
    # A word for how a subscription stands, as ours; another one stays as it is.
    f"""CREATE MACRO contract(t) AS CASE WHEN is_nothing(t) THEN NULL
          {" ".join(f"WHEN regexp_replace(joined(t), '^wc_', '') IN {tuple(w.split())} THEN '{k}'" for k, w in CONTRACTS.items())}
          ELSE t END""",
    # The CRM's label of a stage is its name with capitals and spaces.
    f"""CREATE MACRO stage(t) AS CASE WHEN lower(replace(t, ' ', '')) IN ({STAGES}) THEN lower(replace(t, ' ', '')) ELSE t END""",
)


@dataclass(frozen=True)
class _Value:
    """SQL of one field: its value and, where the text is no such value, why not (NULL when all is well)."""

    value: str
    wrong: str = ""


def clean(
    db: duckdb.DuckDBPyConnection,
    kind: Kind,
    found: dict[str, int],
    given: MapFile,
    shop: Shop,
    free: dict[str, int],
    said: dict[str, bool],
) -> list[str]:
    """Make the table `cleaned(line, <field>..., wrong)`; gives what was found out about dates and numbers.

    `free`: columns that become one JSON object, `attributes`; `said`: those the store knows already, and whether they are yes or no
    throughout. There is a column `currency` too where cells of amounts name one.
    """
    for macro in (*MACROS, _currency_macro(shop.currency)):
        db.execute(macro)
    notes: list[str] = []
    timezone = shop.timezone
    amounts = [number for name, number in found.items() if kind.fields[name].type == "amount"]
    _define_amount(db, given.decimal or _decimal(db, amounts, notes))
    values = {name: _value(db, name, kind.fields[name].type, number, given, timezone, notes) for name, number in found.items()}
    wrongs = [v.wrong for v in values.values() if v.wrong] + [_missing(group, values) for group in kind.required]
    if "currency" in kind.fields:
        values["currency"] = _currency(db, values.get("currency"), amounts)
        wrongs.append(values["currency"].wrong)
    columns = ", ".join(f'{v.value} AS "{n}"' for n, v in values.items())
    if free:
        columns += f", {imports_free.attributes(db, free, given, notes, said)} AS attributes"
    db.execute(f"CREATE TABLE cleaned AS SELECT line, {columns}, coalesce({', '.join(wrongs)}) AS wrong FROM given")
    if "country" in values:
        _one_spelling(db)
    return notes


def _currency_macro(own: str) -> str:
    """Macro currency_of: the code of a sign or word. $ and ¥ are those of the shop where it counts in such, else USD and JPY."""
    dollar, yen = own if own in DOLLARS else "USD", own if own == "CNY" else "JPY"
    signs = " ".join(f"WHEN '{s}' THEN '{c}'" for s, c in {**CURRENCY_SIGNS, "$": dollar, "¥": yen}.items())
    return f"CREATE MACRO currency_of(t) AS CASE t {signs} ELSE upper(t) END"


def _currency(db: duckdb.DuckDBPyConnection, column: _Value | None, amounts: list[int]) -> _Value:
    """Of a row: what its column says, else what its amounts say; a row in which two differ is wrong."""
    own = f"currency_of({column.value})" if column else "CAST(NULL AS VARCHAR)"
    named_in = " OR ".join(f"cell_currency(c{n}) IS NOT NULL" for n in amounts) or "false"
    if not db.execute(f"SELECT coalesce(bool_or({named_in}), false) FROM given").fetchall()[0][0]:
        return _Value(own, "NULL")
    cells = ", ".join(f"cell_currency(c{n})" for n in amounts)
    named = f"list_filter([{cells}], lambda s: s IS NOT NULL)"
    codes = f"list_distinct(list_transform({named}, lambda s: currency_of(s)))"
    known = f"list_distinct(list_transform(list_filter({named}, lambda s: s NOT IN ('$', '¥')), lambda s: currency_of(s)))"
    differs = f"len({codes}) > 1 OR (len({known}) = 1 AND {own} <> {known}[1])"
    dollars = f"list_contains({named}, '$') AND {own} NOT IN ({', '.join(repr(d) for d in sorted(DOLLARS))})"
    return _Value(
        f"coalesce({own}, {codes}[1])",
        f"CASE WHEN {differs} OR {dollars} THEN 'currency: an amount names another one than the rest of the row' END",
    )


def _one_spelling(db: duckdb.DuckDBPyConnection) -> None:
    """Countries by their code, whether a row names them or gives the code; what is no country stays as it is."""
    given = [str(n) for (n,) in db.execute("SELECT DISTINCT country FROM cleaned WHERE country IS NOT NULL").fetchall()]
    known = {n: code for n in given if (code := countries.code_of(n)) and code != n}
    if known:
        db.execute("CREATE TABLE spelled AS SELECT unnest(?::VARCHAR[]) AS name, unnest(?::VARCHAR[]) AS code",
                   [list(known), list(known.values())])  # fmt: skip
        db.execute("UPDATE cleaned SET country = s.code FROM spelled AS s WHERE s.name = cleaned.country")


def _value(
    db: duckdb.DuckDBPyConnection, name: str, kind: str, number: int, given: MapFile, timezone: str, notes: list[str]
) -> _Value:
    text = f"unguarded(nullif(trim(c{number}), ''))"
    match kind:
        case "id":
            # the apostrophe is a spreadsheet's sign for text
            wrong = f"CASE WHEN regexp_full_match({text}, '{OBJECT}') THEN '{name}: a JSON object and no id' END"
            return _Value(_id(db, f"something(ltrim({text}, ''''))"), wrong if name.endswith("_id") else "")
        case "email":
            _note_addresses(db, text, notes)
            return _Value(f"address({text})")
        case "amount":
            return _checked(text, f"as_amount({text})", f"{name}: not a number")
        case "integer":
            return _checked(text, f"TRY_CAST(as_amount({text}) AS BIGINT)", f"{name}: not a whole number")
        case "time":
            order = given.date_order or date_order(db, text, name, notes)
            return _checked(text, _moment(db, text, number, order, timezone, given.day_one), f"{name}: not a date")
        case "stock":  # words are as good as numbers here; what says neither is not known
            is_none = (
                f"regexp_replace(lower({text}), '[^a-z]', '', 'g') IN ('no', 'false', 'soldout', 'outofstock', 'notinstock')"
            )
            return _Value(f"CASE WHEN {is_none} THEN 0 ELSE as_amount({text}) END")
        case "degrees":  # 0 stands for a place that is not known
            degrees = f"CAST(nullif(as_amount({text}), 0) AS DOUBLE)"
            return _checked(text, degrees, f"{name}: not a number", f"as_amount({text})")
        case "birthday":
            define_local(db, number, given.date_order or date_order(db, text, name, notes))
            return _Value(f"coalesce(strftime(born(local_{number}({text})), '%Y-%m-%d'), {text})")
        case "event":
            _note_events(db, text, notes)
            return _checked(text, f"event_kind({text})", f"{name}: no kind of event we know ({', '.join(EVENT_KINDS)})")
        case "emails":
            return _Value(f"addresses({text})")
        case "size":  # of a band ('51-200') its lower end; the company is known by its size alone
            size = f"CAST(as_amount(regexp_extract({text}, '[0-9][0-9.,]*')) AS BIGINT)"
            return _Value(f"'{SIZE}' || {size}")
        case "contract":
            _note_contracts(db, text, notes)
            return _Value(f"contract({text})")
        case "stage":
            return _Value(f"stage({text})")
        case "words":
            return _Value(f"CASE WHEN {text} IS NOT NULL THEN to_json(split_words({text}))::VARCHAR END")
        case _:
            return _Value(text)


def _checked(text: str, value: str, reason: str, read: str = "") -> _Value:
    """`read`: what must be there, where it is not the value itself."""
    return _Value(value, f"CASE WHEN NOT is_nothing({text}) AND {read or value} IS NULL THEN '{reason}' END")


def _missing(group: tuple[str, ...], values: dict[str, _Value]) -> str:
    there = [name for name in group if name in values]
    nothing = " AND ".join(f"{values[name].value} IS NULL" for name in there)
    return f"CASE WHEN {nothing} THEN '{' and '.join(there)}: missing' END"


def _id(db: duckdb.DuckDBPyConnection, text: str) -> str:
    """Text as it stands; but '17850.0' in a column of whole numbers was one too, in a program that has no missing ones."""
    floats = db.execute(
        "SELECT coalesce(bool_or(ends_with(t, '.0')) AND bool_and(regexp_full_match(t, '\\d+(\\.0)?')), false) "
        f"FROM (SELECT {text} AS t FROM given) WHERE t IS NOT NULL"
    ).fetchall()[0][0]
    return f"regexp_replace({text}, '\\.0$', '')" if floats else text


def _note_addresses(db: duckdb.DuckDBPyConnection, text: str, notes: list[str]) -> None:
    count = db.execute(f"SELECT count(*) FROM given WHERE {text} IS NOT NULL AND address({text}) IS NULL").fetchall()[0][0]
    if count:
        notes.append(f"{count} values in the e-mail column are no addresses; their rows are kept without one.")


def _note_events(db: duckdb.DuckDBPyConnection, text: str, notes: list[str]) -> None:
    """Name the words nobody understood, and what to do: among them may be a no. Many different words are no kinds at all."""
    unknown = db.execute(
        f"SELECT t, count(*) FROM (SELECT {text} AS t FROM given) WHERE NOT is_nothing(t) AND event_kind(t) IS NULL "
        f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {WORDS_SHOWN + 1}"
    ).fetchall()
    if not unknown:
        return
    words = [f"'{word}' ({count:,})" for word, count in unknown if len(word) <= LONGEST_WORD and "@" not in word]
    told = f": {', '.join(words)}" if len(words) == len(unknown) <= WORDS_SHOWN else ""
    notes.append(
        f"Some rows are of kinds of events we do not know and are set aside{told}. If one of them is how people said no, replace it "
        "in the file by unsubscribe (or complaint) and import it again: until then that no is not heard here. The others by the kind "
        f"they are: {', '.join(EVENT_KINDS)}."
    )


def _note_contracts(db: duckdb.DuckDBPyConnection, text: str, notes: list[str]) -> None:
    known = ", ".join(f"'{k}'" for k in CONTRACTS)
    count = db.execute(f"SELECT count(*) FROM given WHERE contract({text}) NOT IN ({known})").fetchall()[0][0]
    if count:
        notes.append(
            f"{count} subscriptions have a status we do not know and count as not running. Known: {', '.join(CONTRACTS)}."
        )


def _decimal(db: duckdb.DuckDBPyConnection, columns: list[int], notes: list[str]) -> str:
    """The decimal sign of the file's amounts, by the majority of those that tell."""
    comma = point = 0
    for number in columns:
        ((commas, points),) = db.execute(
            f"SELECT count(*) FILTER (regexp_matches(t, '{COMMA}')), count(*) FILTER (regexp_matches(t, '{POINT}')) "
            f"FROM (SELECT digits(trim(c{number})) AS t FROM given)"
        ).fetchall()
        comma, point = comma + commas, point + points
    if comma:
        both = " Both occur; the rows that do not fit are set aside." if point else ""
        notes.append(f"Numbers: decimal {'comma' if comma > point else 'point'}.{both}")
    return "," if comma > point else "."


def _define_amount(db: duckdb.DuckDBPyConnection, decimal: str) -> None:
    shape, plain = (
        (COMMA_SHAPE, "replace(replace(digits(t), '.', ''), ',', '.')")
        if decimal == ","
        else (POINT_SHAPE, "replace(digits(t), ',', '')")
    )
    db.execute(
        "CREATE MACRO as_amount(t) AS "
        f"CASE WHEN regexp_matches(digits(t), '{shape}') THEN TRY_CAST({plain} AS DECIMAL(18,4)) END"
    )


def _moment(db: duckdb.DuckDBPyConnection, text: str, number: int, order: str, timezone: str, day_one: date | None) -> str:
    """UTC of a column's text; years outside 1900 to 2200 are typing errors."""
    define_local(db, number, order, day_one)
    has_times = db.execute(
        f"SELECT coalesce(bool_or(regexp_matches(t, '{ZONED}') OR local_{number}(t)::TIME <> TIME '00:00:00'), false) "
        f"FROM (SELECT {text} AS t FROM given)"
    ).fetchall()[0][0]
    noon = "INTERVAL 0 HOUR" if has_times else "INTERVAL 12 HOUR"
    db.execute(
        f"""CREATE MACRO utc_{number}(t) AS CASE
              WHEN regexp_matches(t, '{ZONED}') THEN timezone('UTC', TRY_CAST(with_zone(t) AS TIMESTAMPTZ))
              WHEN regexp_full_match(t, '{SECONDS}') THEN of_seconds(t)
              WHEN regexp_matches(t, '{MAIL_DATE}') THEN mail_date(t)
              WHEN regexp_full_match(t, '{DATE_ALONE}')
                THEN timezone('UTC', timezone('{timezone}', local_{number}(t) + INTERVAL 12 HOUR))
              ELSE timezone('UTC', timezone('{timezone}', local_{number}(t) + {noon})) END"""
    )
    return f"CASE WHEN year(utc_{number}({text})) BETWEEN 1900 AND 2200 THEN utc_{number}({text}) END"
