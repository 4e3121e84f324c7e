"""The converters of the mapping language: one value in, one value for a column out.

Each takes the value and the column's name for errors, maps missing (None, "") to None, and raises RecordError with the
column and the reason, never the value. Times come out as naive UTC text, decimals as text, so nothing is rounded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import orjson

from models.errors import RecordError

Convert = Callable[[Any, str], Any]

EPOCH = datetime.fromisoformat("1970-01-01")
EXACT = re.compile(r"-?\d{1,14}(?:\.\d{1,4})?", re.ASCII)
WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
PLACES = Decimal("0.0001")
DECIMAL_LIMIT = Decimal(10) ** 14
INT_LIMIT = 2**63
TRUTHS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def fail(column: str, reason: str) -> NoReturn:
    raise RecordError(f"{column}: {reason}")


def text(value: Any, column: str) -> str | None:
    if value.__class__ is str:
        return value or None
    if value is None:
        return None
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    fail(column, "a list or object where text was expected")


def email(value: Any, column: str) -> str | None:
    found = value if value.__class__ is str else text(value, column)
    return found.strip().lower() or None if found else None


def upper(value: Any, column: str) -> str | None:
    found = text(value, column)
    return found.upper() if found else None


def lower(value: Any, column: str) -> str | None:
    found = text(value, column)
    return found.lower() if found else None


def md5(value: Any, column: str) -> str | None:
    """Mailchimp's id of an address: MD5 of the lower-cased text."""
    found = text(value, column)
    return hashlib.md5(found.strip().lower().encode(), usedforsecurity=False).hexdigest() if found else None


def gid(value: Any, column: str) -> str | None:
    """'123' of 'gid://shopify/Customer/123?key=x'."""
    found = value if value.__class__ is str else text(value, column)
    if not found:
        return None
    return (found.partition("?")[0] if "?" in found else found).rpartition("/")[2] or None


def decimal(value: Any, column: str) -> str | None:
    """Exact text with at most four decimals; a float counts as what it prints as."""
    if value.__class__ is str and EXACT.fullmatch(value):
        return value
    if value is None or value == "":
        return None
    if value is True or value is False or not isinstance(value, str | int | float):
        fail(column, "not a number")
    written = value.strip() if isinstance(value, str) else repr(value)
    if EXACT.fullmatch(written):
        return written
    try:
        number = Decimal(written)
    except InvalidOperation:
        fail(column, "not a number")
    if not number.is_finite() or abs(number) >= DECIMAL_LIMIT or abs(number := number.quantize(PLACES)) >= DECIMAL_LIMIT:
        fail(column, "a number out of range")
    return format(number, "f")


def integer(value: Any, column: str) -> int | None:
    if value.__class__ is str and len(value) < 19 and value.isascii() and value.isdecimal():
        return int(value)
    if value is None or value == "":
        return None
    if value.__class__ is int or (isinstance(value, str) and WHOLE.fullmatch(value)):
        number = int(value)
    else:
        exact = decimal(value, column)
        whole, _, rest = (exact or "0").partition(".")
        if rest.strip("0"):
            fail(column, "not a whole number")
        number = int(whole)
    if not -INT_LIMIT <= number < INT_LIMIT:
        fail(column, "a number out of range")
    return number


def number(value: Any, column: str) -> float | None:
    if value is None or value == "":
        return None
    if value is True or value is False:
        fail(column, "not a number")
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        fail(column, "not a number")
    if found != found or found in (float("inf"), float("-inf")):
        fail(column, "a number out of range")
    return found


def negate(value: Any, column: str) -> str | None:
    exact = decimal(value, column)
    return format(0 - Decimal(exact), "f") if exact else None


def boolean(value: Any, column: str) -> bool | None:
    if value is True or value is False or value is None:
        return value
    if value == "":
        return None
    if value == "true" or value == "false":
        return bool(value == "true")
    found = TRUTHS.get(str(value).strip().lower())
    if found is None:
        fail(column, "neither true nor false")
    return found


def not_(value: Any, column: str) -> bool | None:
    found = boolean(value, column)
    return None if found is None else not found


def time(value: Any, column: str) -> str | None:
    """ISO 8601 or 'YYYY-MM-DD HH:MM:SS', UTC where no zone is written; a date alone is its midnight."""
    if value.__class__ is str and (plain := _plain(value)):
        return plain
    return None if value is None or value == "" else _instant(value, column).isoformat(" ", "microseconds")


def ms(value: Any, column: str) -> str | None:
    """Milliseconds since 1970 as a number or digits; ISO 8601 too."""
    if value.__class__ is str and (plain := _plain(value)):
        return plain
    return None if value is None or value == "" else _moment(value, column).isoformat(" ", "microseconds")


def date(value: Any, column: str) -> str | None:
    """The day of a date, a time (in UTC) or milliseconds."""
    if value is None or value == "":
        return None
    return _moment(value, column).date().isoformat()


def _plain(value: str) -> str:
    """The usual spellings of UTC rewritten without a datetime, a third of the cost; '' where it is another one."""
    size, marks = len(value), value[4:20:3]
    if marks == "--T::." and size == 24 and value[23] == "Z":
        plain = f"{value[:10]} {value[11:23]}000"
    elif (marks == "--T::Z" and size == 20) or (marks == "--T::+" and value[19:] == "+00:00"):
        plain = f"{value[:10]} {value[11:19]}.000000"
    else:
        return ""
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return ""
    return plain


def _moment(value: Any, column: str) -> datetime:
    if value.__class__ is int or value.__class__ is float or (isinstance(value, str) and value.lstrip("-").isdecimal()):
        try:
            return EPOCH + timedelta(milliseconds=int(value))
        except (OverflowError, ValueError):
            fail(column, "a time out of range")
    return _instant(value, column)


def _instant(value: Any, column: str) -> datetime:
    if not isinstance(value, str):
        fail(column, "not a time")
    try:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        fail(column, "not a time")


def list_(value: Any, column: str) -> str | None:
    """JSON list text of the non-empty items; a single value is a list of one; an empty list is missing."""
    if value is None or value == "":
        return None
    items = [v for v in (value if isinstance(value, list) else [value]) if v is not None and v != ""]
    return _dumps(items, column) if items else None


def json(value: Any, column: str) -> str | None:
    return None if value is None or value == "" else _dumps(value, column)


def object_(value: Any, column: str) -> str | None:
    """What a JSON column takes when the mapping names no converter."""
    return json(value, column) if isinstance(value, dict) else list_(value, column)


def splitter(separator: str) -> Convert:
    def split(value: Any, column: str) -> str | None:
        found = text(value, column)
        return list_([part.strip() for part in found.split(separator)], column) if found else None

    return split


def prefixer(before: str) -> Convert:
    def prefix(value: Any, column: str) -> str | None:
        found = text(value, column)
        return before + found if found else None

    return prefix


def mapper(name: str, values: dict[str, str]) -> Convert:
    """A named value map; '?' stands for every value not named."""
    other = values.get("?")

    def map_(value: Any, column: str) -> str | None:
        found = value if value.__class__ is str else text(value, column)
        if not found:
            return None
        meant = values.get(found, other)
        if meant is None:
            fail(column, f"a value that [maps.{name}] does not know")
        return meant or None

    return map_


def _dumps(value: Any, column: str) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, orjson.JSONEncodeError):
        fail(column, "a value that cannot be written as JSON")


def truthy(value: Any) -> bool:
    """What `when` asks: there is something, and it is not false."""
    return value is not None and value is not False and value != "" and value != [] and value != {}


def nothing(_key: str) -> None:
    """`get` of an object that is not there."""


def getter(value: Any, place: str) -> Callable[[str], Any]:
    """`get` of a nested object; a missing one has nothing."""
    if value.__class__ is dict:
        return value.get
    if value is None or value == "":
        return nothing
    fail(place, "not an object")


def pluck(value: Any, steps: tuple[str | None, ...], place: str) -> Any:
    """Walk the rest of a path behind the first [*]: a flat list of what is found."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step is None and value.__class__ is list and len(rest) == 1 and (name := rest[0]) is not None:
        return [getter(one, place)(name) for one in value]
    if step is not None:
        return pluck(getter(value, place)(step), rest, place)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        fail(place, "not a list")
    if None in rest:
        return [v for one in value for v in pluck(one, rest, place)]
    return [pluck(one, rest, place) for one in value]


def elements(value: Any, place: str) -> list[Any]:
    """The list `each` points to; lists in it are laid end to end."""
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        fail(place, "not a list")
    if any(isinstance(v, list) for v in value):
        return [v for one in value for v in (one if isinstance(one, list) else [one])]
    return value


PLAIN: dict[str, Convert] = {
    "text": text, "email": email, "gid": gid, "upper": upper, "lower": lower, "md5": md5, "decimal": decimal,
    "integer": integer, "number": number, "boolean": boolean, "not": not_, "negate": negate, "time": time, "ms": ms,
    "date": date, "list": list_, "json": json,
}  # fmt: skip

BY_TYPE: dict[str, Convert] = {
    "VARCHAR": text, "DECIMAL(18,4)": decimal, "BIGINT": integer, "DOUBLE": number, "BOOLEAN": boolean,
    "TIMESTAMP": time, "DATE": date, "JSON": object_,
}  # fmt: skip
"""What a column does with a value that no converter has made fit."""
