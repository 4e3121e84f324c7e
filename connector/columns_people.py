"""The columns a person brings along: place, fields of the contact, consent, addresses. See `connector/columns.py`."""

from __future__ import annotations

from adapters import title
from connector.column import ProfileColumn, day_of, flag, local_day, text_of, words


def given(name: str, meaning: str, column: str = "", *, personal: bool = False) -> ProfileColumn:
    """A field of the contact: what the record changed last says, if it says anything."""
    column = column or name
    sql = f"arg_min({column}, place) FILTER ({column} IS NOT NULL)"
    return text_of("contact", "contacts", name, sql, meaning, personal=personal)


def placed(name: str, meaning: str) -> ProfileColumn:
    """Country, region, city and postcode come from one and the same record."""
    return text_of("contact", "contacts", name, f"max({name}) FILTER (address_place = 1)", meaning)


CONTACT: tuple[ProfileColumn, ...] = (
    words("contact", "contacts", "platforms", "list_sort(list(DISTINCT source) FILTER (is_live))",
          "platforms on which the person has a live record"),
    *(flag("contact", "contacts", f"on_{p}", f"bool_or(source = '{p}' AND is_live)", f"has a live record on {title(p)}")
      for p in ("shopify", "mailchimp", "hubspot")),
    flag("contact", "contacts", "has_email", "bool_or(email IS NOT NULL)", "has a known e-mail address"),
    flag("contact", "contacts", "has_phone", "bool_or(phone IS NOT NULL)", "has a known phone number"),
    given("email_domain", "part of the e-mail address behind the @", "split_part(email, '@', 2)", personal=True),
    placed("country", "country as given"),
    placed("region", "state, province or region as given"),
    placed("city", "city as given"),
    placed("postcode", "postal code as given"),
    ProfileColumn("latitude", "DOUBLE", "latitude of the place", "degrees", "contact", ("contacts",), "contact",
                  "max(latitude) FILTER (point_place = 1)"),
    ProfileColumn("longitude", "DOUBLE", "longitude of the place", "degrees", "contact", ("contacts",), "contact",
                  "max(longitude) FILTER (point_place = 1)"),
    given("timezone", "time zone of the person"),
    given("language", "language as the platform has it"),
    given("company", "company", personal=True),
    given("job_title", "job title or occupation as given", personal=True),
    given("industry", "industry of person or company", "coalesce(industry, company_industry)"),
    ProfileColumn("company_size", "BIGINT", "employees of the company", "people", "contact", ("companies",), "contact",
                  "arg_min(employees, place) FILTER (employees IS NOT NULL)"),
    given("lifecycle_stage", "lifecycle stage of the CRM"),
    given("lead_status", "lead status of the CRM"),
    text_of("contact", "contacts", "signup_source",
          "arg_min(signup_source, struct_pack(a := created_at, b := place)) FILTER (signup_source IS NOT NULL)",
          "how the person first came in"),
    ProfileColumn("rating", "BIGINT", "the platform's own engagement rating", "1 to 5", "contact", ("contacts",), "contact",
                  "arg_min(rating, place) FILTER (rating IS NOT NULL)"),
    given("gender", "gender as the customer gave it"),
    ProfileColumn("age", "BIGINT", "age as the customer gave it", "years", "contact", ("contacts",), "contact",
                  "arg_min(age, place) FILTER (age IS NOT NULL)"),
    given("income_band", "income band as the customer gave it"),
    given("education", "education as the customer gave it"),
    ProfileColumn("birthday_month", "INTEGER", "month of the birthday", "1 to 12", "contact", ("contacts",), "contact",
                  "arg_min(birthday_month, place) FILTER (birthday_month BETWEEN 1 AND 12)"),
    words("contact", "contacts", "tags",
          "list_sort(list_distinct(flatten(list(from_json(tags, '[\"VARCHAR\"]')) FILTER (tags IS NOT NULL))))",
          "tags on any platform; our own are left out"),
    words("contact", "contacts", "groups",
          "list_sort(list_distinct(flatten(list(from_json(groups, '[\"VARCHAR\"]')) FILTER (groups IS NOT NULL))))",
          "preference groups chosen"),
)  # fmt: skip


def channel_of(channel: str) -> ProfileColumn:
    return text_of("consent", "consents", f"consent_{channel}", f"arg_min(status, weight) FILTER (channel = '{channel}')",
                 f"the answer about {channel}: a no on any platform, else a yes, else what is known")  # fmt: skip


CONSENT: tuple[ProfileColumn, ...] = (
    flag("consent", "consents", "is_subscribed",
          "bool_or(channel = 'email' AND may_mail)"
          " AND NOT bool_or(is_erased OR (channel = 'email' AND status IN ('unsubscribed', 'erased')))",
          "may be mailed on at least one platform and has said no nowhere"),
    channel_of("email"), channel_of("sms"), channel_of("ads"),
    day_of("consent", "consents", "subscribed_on",
         local_day("max(changed_at) FILTER (channel = 'email' AND status = 'subscribed')"),
         "day of the latest yes to e-mail, where the platform says"),
    text_of("consent", "consents", "unsubscribe_reason", "max(reason) FILTER (status = 'unsubscribed')",
          "reason given for leaving"),
)  # fmt: skip

PERSON: tuple[ProfileColumn, ...] = (
    ProfileColumn("records", "INTEGER", "contact records that are this person", "records", "identity", ("contacts",), "person",
                  "p.records"),
    day_of("person", "contacts", "known_since", local_day("p.since"), "day the first record was created"),
)  # fmt: skip


ADDRESSES: tuple[ProfileColumn, ...] = tuple(
    text_of(
        "addresses",
        "contacts",
        f"shipping_{k}",
        f"max({k}) FILTER (place = 1)",
        f"{k} of the shipping address, else of where the last order went, else of the main address or place",
    )
    for k in ("country", "region", "city", "postcode")
)
