"""The default properties of a HubSpot account, sheet 3.6 and 5, and what a property definition looks like."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.sandbox.hubspot_wire import EPOCH, Json, iso

FIELD_TYPES = {
    "enumeration": ("checkbox", "select", "radio", "booleancheckbox"),
    "number": ("number",),
    "date": ("date",),
    "datetime": ("date",),
    "string": ("text", "textarea", "html", "phonenumber"),
    "bool": ("booleancheckbox",),
}
STAGES = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
)
SUBSCRIPTIONS = {"101001": "Newsletter", "101002": "Offers"}
"""The account's subscription types: id and name."""

TYPE_IDS = {
    "contacts": "0-1",
    "companies": "0-2",
    "deals": "0-3",
    "tickets": "0-5",
    "products": "0-7",
    "line_items": "0-8",
    "orders": "0-123",
    "carts": "0-142",
}
DEFAULTS = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "deals": ("amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id", "pipeline"),
}
OTHER_DEFAULTS = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")


@dataclass
class Definition:
    """One property. Only `type`, `read_only` and `options` decide what may be written."""

    name: str
    type: str = "string"
    field_type: str = "text"
    group: str = "contactinformation"
    label: str = ""
    options: list[Json] = field(default_factory=list)
    hubspot_defined: bool = True
    calculated: bool = False
    read_only: bool = False
    has_unique_value: bool = False
    hidden: bool = False
    form_field: bool = False
    description: str = ""
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    archived_at: datetime | None = None

    def values(self) -> frozenset[str]:
        return frozenset(option["value"] for option in self.options)

    def render(self) -> Json:
        body: Json = {
            "name": self.name,
            "label": self.label or self.name.replace("_", " ").capitalize(),
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": self.options,
            "displayOrder": -1,
            "calculated": self.calculated,
            "externalOptions": False,
            "hasUniqueValue": self.has_unique_value,
            "hidden": self.hidden,
            "hubspotDefined": self.hubspot_defined,
            "formField": self.form_field,
            "dataSensitivity": "non_sensitive",
            "archived": self.archived_at is not None,
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.updated_at),
            "modificationMetadata": {
                "archivable": not self.hubspot_defined,
                "readOnlyDefinition": self.hubspot_defined,
                "readOnlyOptions": self.hubspot_defined,
                "readOnlyValue": self.read_only,
            },
        }
        if self.archived_at is not None:
            body["archivedAt"] = iso(self.archived_at)
        return body


def option(value: str, label: str = "", order: int = -1) -> Json:
    return {"label": label or value.replace("_", " ").capitalize(), "value": value, "displayOrder": order, "hidden": False}


_KINDS: dict[str, tuple[str, str, bool]] = {
    "text": ("string", "text", False),
    "text!": ("string", "text", True),
    "phone": ("string", "phonenumber", False),
    "number": ("number", "number", False),
    "number!": ("number", "number", True),
    "date": ("date", "date", False),
    "time": ("datetime", "date", False),
    "time!": ("datetime", "date", True),
    "bool": ("bool", "booleancheckbox", False),
    "bool!": ("bool", "booleancheckbox", True),
    "select": ("enumeration", "select", False),
    "select!": ("enumeration", "select", True),
    "checkbox": ("enumeration", "checkbox", False),
}
"""Short words for type, fieldType and whether the value is read-only ("!")."""

_EVERYWHERE = "hs_object_id:number! hs_merged_object_ids:text! hs_object_source_label:text! hubspot_owner_id:text"
_CONTACTS = """
email:text hs_additional_emails:text firstname:text lastname:text phone:phone company:text jobtitle:text industry:text
createdate:time! lastmodifieddate:time! associatedcompanyid:number country:text state:text city:text zip:text address:text
hs_language:text hs_timezone:text hs_ip_timezone:text! lifecyclestage:select hs_lead_status:text
hs_lifecyclestage_customer_date:time! hs_marketable_status:select! hs_marketable_until_renewal:select!
hs_email_optout:bool! hs_email_optout_101001:bool! hs_email_optout_101002:bool! hs_email_quarantined:bool!
hs_email_bad_address:bool! hs_email_hard_bounce_reason_enum:text! hs_legal_basis:checkbox
hs_email_delivered:number! hs_email_open:number! hs_email_click:number! hs_email_replied:number! hs_email_bounce:number!
hs_email_first_send_date:time! hs_email_last_send_date:time! hs_email_last_open_date:time! hs_email_last_click_date:time!
hs_email_last_reply_date:time! hs_email_last_email_name:text! hs_email_sends_since_last_engagement:number!
hs_analytics_source:text! hs_analytics_source_data_1:text! hs_analytics_source_data_2:text! hs_latest_source:text!
hs_analytics_num_page_views:number! hs_analytics_num_visits:number! hs_analytics_first_url:text! hs_analytics_last_url:text!
hs_analytics_first_timestamp:time! hs_analytics_last_timestamp:time! hs_analytics_revenue:number!
num_conversion_events:number! num_unique_conversion_events:number! first_conversion_date:time! recent_conversion_date:time!
recent_conversion_event_name:text! total_revenue:number! recent_deal_amount:number! recent_deal_close_date:time!
first_deal_created_date:time! num_associated_deals:number! notes_last_contacted:time! notes_last_updated:time!
num_contacted_notes:number! hs_sa_first_engagement_date:time! hs_last_sales_activity_timestamp:time!
hs_sales_email_last_opened:time! hs_predictivecontactscore_v2:number! date_of_birth:text gender:text
"""
_OTHERS = {
    "companies": """name:text domain:text industry:text numberofemployees:number annualrevenue:number city:text state:text
country:text zip:text phone:phone lifecyclestage:select createdate:time! hs_lastmodifieddate:time!""",
    "deals": """dealname:text amount:number amount_in_home_currency:number! deal_currency_code:text dealstage:text pipeline:text
closedate:time createdate:time dealtype:text hs_is_closed_won:bool! hs_is_closed:bool! hs_deal_stage_probability:number!
hs_lastmodifieddate:time!""",
    "orders": """hs_order_name:text hs_total_price:number hs_subtotal_price:number hs_tax:number hs_shipping_cost:number
hs_order_discount:number hs_discount_codes:text hs_currency_code:text hs_external_order_id:text hs_external_order_status:text
hs_external_order_url:text hs_external_created_date:time hs_processed_date:time hs_source_store:text
hs_fulfillment_status:text hs_pipeline:text hs_pipeline_stage:text hs_homecurrency_amount:number! hs_billing_address_email:text
hs_external_cart_id:text hs_createdate:time! hs_lastmodifieddate:time!""",
    "line_items": """name:text quantity:number price:number amount:number! hs_sku:text hs_product_id:text discount:number
hs_createdate:time! hs_lastmodifieddate:time!""",
    "products": """name:text price:number hs_sku:text hs_product_id:text hs_product_type:text description:text
createdate:time! hs_createdate:time! hs_lastmodifieddate:time!""",
    "tickets": """subject:text content:text hs_pipeline:text hs_pipeline_stage:text hs_ticket_category:text
hs_ticket_priority:text createdate:time closed_date:time hs_createdate:time! hs_lastmodifieddate:time!""",
    "carts": """hs_cart_name:text hs_total_price:number hs_external_cart_id:text hs_external_status:text hs_currency_code:text
hs_cart_url:text hs_external_created_date:time hs_createdate:time! hs_lastmodifieddate:time!""",
}
_OPTIONS: dict[str, tuple[str, ...]] = {
    "lifecyclestage": STAGES,
    "hs_marketable_status": ("true", "false"),
    "hs_marketable_until_renewal": ("true", "false"),
    "hs_legal_basis": (
        "Legitimate interest – prospect/lead",
        "Legitimate interest – existing customer",
        "Performance of a contract",
        "Freely given consent from contact",
        "Not applicable",
    ),
}
_CALCULATED = (
    *("total_revenue", "recent_deal_amount", "recent_deal_close_date", "first_deal_created_date", "num_associated_deals"),
    *("hs_homecurrency_amount", "amount_in_home_currency", "hs_is_closed_won", "hs_is_closed", "hs_deal_stage_probability"),
)
_GROUPS = {"contacts": "contactinformation", "companies": "companyinformation", "deals": "dealinformation"}


def _definitions(object_type: str, words: str) -> dict[str, Definition]:
    group = _GROUPS.get(object_type, f"{object_type.rstrip('s')}_information")
    made: dict[str, Definition] = {}
    for word in f"{_EVERYWHERE} {words}".split():
        name, short = word.split(":")
        kind, field_type, read_only = _KINDS[short]
        made[name] = Definition(
            name=name,
            type=kind,
            field_type=field_type,
            group=group,
            options=[option(value, order=order) for order, value in enumerate(_OPTIONS.get(name, ()))],
            calculated=name in _CALCULATED,
            read_only=read_only,
            has_unique_value=name in ("email", "hs_sku"),
        )
        if kind == "bool":
            made[name].options = [option("true", "Yes", 0), option("false", "No", 1)]
    return made


@dataclass
class Catalog:
    """Definitions and groups of every object type."""

    properties: dict[str, dict[str, Definition]] = field(default_factory=dict)
    groups: dict[str, dict[str, Json]] = field(default_factory=dict)

    @classmethod
    def default(cls) -> Catalog:
        made = {"contacts": _definitions("contacts", _CONTACTS)}
        made.update({name: _definitions(name, words) for name, words in _OTHERS.items()})
        catalog = cls(made)
        for object_type, definitions in made.items():
            groups = {definition.group for definition in definitions.values()}
            catalog.groups[object_type] = {
                name: {"name": name, "label": name.capitalize(), "displayOrder": -1, "archived": False}
                for name in sorted(groups)
            }
        return catalog

    def find(self, object_type: str, name: str) -> Definition | None:
        """A property that is not archived."""
        definition = self.properties[object_type].get(name)
        return definition if definition is not None and definition.archived_at is None else None

    def ensure(self, object_type: str, name: str, value: Any) -> None:
        """Make a custom property for a value the shop brings along, typed by how the value looks."""
        if name in self.properties[object_type]:
            return
        kind, field_type = "string", "text"
        if isinstance(value, bool):
            kind, field_type = "bool", "booleancheckbox"
        elif isinstance(value, int | float):
            kind, field_type = "number", "number"
        elif isinstance(value, datetime):
            kind, field_type = "datetime", "date"
        self.properties[object_type][name] = Definition(
            name=name,
            type=kind,
            field_type=field_type,
            group=next(iter(self.groups[object_type])),
            hubspot_defined=False,
        )
