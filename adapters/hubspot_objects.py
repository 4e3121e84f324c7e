"""What we read of each HubSpot object: its path, its scope, its date of change and the properties we want.

Property names: https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide and its neighbours.
A name the account does not have is left out (reads ignore unknown names without a word, so we ask the catalogue).
"""

from __future__ import annotations

from dataclasses import dataclass

OPTOUT_PREFIX = "hs_email_optout_"  # one property for each subscription type
MERGED = "hs_merged_object_ids"  # ids of records that live on in this one


@dataclass(frozen=True)
class Kind:
    """One stream. `modified` is the property that moves with every write; contacts call it differently."""

    name: str
    path: str
    title: str
    scope: str
    properties: tuple[str, ...]
    modified: str = "hs_lastmodifieddate"
    prefixes: tuple[str, ...] = ()
    needed: bool = False
    is_dated: bool = False
    """Records are things that happened: `since` may leave old ones out."""
    contacts: bool = False
    companies: bool = False
    line_items: bool = False


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CONTACTS = Kind(
    "contacts",
    "contacts",
    "contacts",
    "crm.objects.contacts.read",
    _names("""
      email hs_additional_emails firstname lastname phone mobilephone company jobtitle industry createdate lastmodifieddate
      hs_object_source_label associatedcompanyid date_of_birth gender
      address country state city zip hs_language hs_timezone hs_ip_timezone hs_country_region_code hs_state_code
      lifecyclestage hs_lead_status hubspot_owner_id hs_lifecyclestage_customer_date
      hs_marketable_status hs_marketable_until_renewal hs_email_optout hs_email_quarantined hs_email_bad_address
      hs_email_hard_bounce_reason_enum hs_legal_basis
      hs_email_delivered hs_email_open hs_email_click hs_email_replied hs_email_bounce hs_email_first_send_date
      hs_email_last_send_date hs_email_last_open_date hs_email_last_click_date hs_email_last_reply_date
      hs_email_last_email_name hs_email_sends_since_last_engagement
      hs_analytics_source hs_analytics_source_data_1 hs_analytics_source_data_2 hs_latest_source
      hs_analytics_num_page_views hs_analytics_num_visits hs_analytics_first_url hs_analytics_last_url
      hs_analytics_first_timestamp hs_analytics_last_timestamp hs_analytics_revenue
      num_conversion_events num_unique_conversion_events first_conversion_date first_conversion_event_name
      recent_conversion_date recent_conversion_event_name
      total_revenue recent_deal_amount recent_deal_close_date first_deal_created_date num_associated_deals
      notes_last_contacted notes_last_updated num_contacted_notes hs_sa_first_engagement_date
      hs_last_sales_activity_timestamp hs_sales_email_last_opened hs_predictivecontactscore_v2
    """),
    modified="lastmodifieddate",
    prefixes=(OPTOUT_PREFIX,),
    needed=True,
    companies=True,
)

COMPANIES = Kind(
    "companies",
    "companies",
    "companies",
    "crm.objects.companies.read",
    _names("name domain industry numberofemployees annualrevenue city state country zip createdate hs_lastmodifieddate"),
)

ORDERS = Kind(
    "orders",
    "orders",
    "orders",
    "crm.objects.orders.read",
    _names("""
      hs_order_name hs_total_price hs_subtotal_price hs_tax hs_shipping_cost hs_order_discount hs_discount_codes
      hs_currency_code hs_external_order_id hs_external_order_status hs_external_order_url hs_external_created_date
      hs_processed_date hs_source_store hs_fulfillment_status hs_payment_status hs_refund_amount hs_pipeline
      hs_pipeline_stage hs_homecurrency_amount hs_billing_address_email hs_external_cart_id hs_shipping_address_city
      hs_shipping_address_state hs_shipping_address_country hs_shipping_address_postal_code hs_landing_site
      hs_referring_site hs_createdate hs_lastmodifieddate
    """),
    is_dated=True,
    contacts=True,
    companies=True,
    line_items=True,
)

DEALS = Kind(
    "deals",
    "deals",
    "deals",
    "crm.objects.deals.read",
    _names("""
      dealname amount amount_in_home_currency deal_currency_code dealstage pipeline closedate createdate dealtype
      hs_is_closed_won hs_is_closed hs_deal_stage_probability hs_lastmodifieddate
    """),
    is_dated=True,
    contacts=True,
    companies=True,
    line_items=True,
)

TICKETS = Kind(
    "tickets",
    "tickets",
    "tickets",
    "tickets",
    _names("""
      subject hs_pipeline hs_pipeline_stage hs_ticket_category hs_ticket_priority source_type createdate closed_date
      hs_lastmodifieddate
    """),
    is_dated=True,
    contacts=True,
)

CARTS = Kind(
    "carts",
    "carts",
    "carts",
    "crm.objects.carts.read",
    _names("""
      hs_cart_name hs_total_price hs_external_cart_id hs_external_status hs_currency_code hs_cart_url
      hs_external_created_date hs_createdate hs_lastmodifieddate
    """),
    is_dated=True,
    contacts=True,
    line_items=True,
)

LINE_ITEMS = Kind(
    "line_items",
    "line_items",
    "line items",
    "crm.objects.line_items.read",
    _names("name quantity price amount hs_sku hs_product_id discount hs_line_item_currency_code"),
)

PRODUCTS = Kind(
    "products",
    "products",
    "products",
    "crm.objects.products.read",
    _names("name price hs_sku createdate hs_createdate hs_lastmodifieddate"),
)

KINDS = {kind.name: kind for kind in (CONTACTS, COMPANIES, PRODUCTS, ORDERS, DEALS, TICKETS, CARTS)}
EMAILS = "emails"
EMAILS_SCOPE = "content"
EVENTS = "email_events"
