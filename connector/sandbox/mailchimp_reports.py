"""Campaigns and what people did with them. Machine opens count everywhere but under filter_bots and proxy_excluded_*."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.mailchimp_state import Account, Campaign, Event, digest, need_list
from connector.sandbox.mailchimp_wire import Call, Json, answer, collection, listing, not_found, shape

CAMPAIGN = shape(
    "id web_id type create_time archive_url long_archive_url status emails_sent send_time content_type needs_block_refresh"
    " resendable recipients.list_id recipients.list_is_active recipients.list_name recipients.segment_text"
    " recipients.recipient_count settings.* tracking.* report_summary.* delivery_status.*"
)
CAMPAIGNS = collection("campaigns", CAMPAIGN)
REPORT = shape(
    "id campaign_title type list_id list_is_active list_name subject_line preview_text emails_sent abuse_reports unsubscribed"
    " send_time bounces.* forwards.* opens.* clicks.* facebook_likes.* industry_stats.* list_stats.* ecommerce.* timeseries.*"
    " delivery_status.*"
)
REPORTS = collection("reports", REPORT)
ACTIVITY = collection(
    "emails",
    shape(
        "campaign_id list_id list_is_active email_id email_address activity.action activity.type activity.timestamp"
        " activity.url activity.ip"
    ),
    "campaign_id",
)
_PERSON = "campaign_id list_id list_is_active email_id email_address merge_fields.* vip"
OPENERS = collection(
    "members",
    shape(
        f"{_PERSON} contact_status opens_count proxy_excluded_opens_count opens.timestamp opens.is_proxy_open sms_phone_number"
    ),
    "campaign_id total_opens total_proxy_excluded_opens",
)
LINKS = collection(
    "urls_clicked",
    shape("id url total_clicks click_percentage unique_clicks unique_click_percentage last_click campaign_id"),
    "campaign_id",
)
LINK = shape("id url total_clicks click_percentage unique_clicks unique_click_percentage last_click campaign_id")
CLICKERS = collection("members", shape(f"{_PERSON} clicks url_id contact_status"), "campaign_id")
SENT = collection("sent_to", shape(f"{_PERSON} status open_count last_open absplit_group gmt_offset"), "campaign_id")
LEFT = collection("unsubscribes", shape(f"{_PERSON} timestamp reason"), "campaign_id")
_COMPLAINT = shape(f"{_PERSON} id date")
COMPLAINTS = collection("abuse_reports", _COMPLAINT, "campaign_id")
LIST_COMPLAINTS = collection("abuse_reports", _COMPLAINT, "list_id")

EVENTS_MAX = 1000  # opens, and again clicks, per member and campaign
Sent = tuple[Account, Campaign]
TYPES = ("regular", "plaintext", "absplit", "rss", "variate")
SORT_DIR = ("ASC", "DESC")


def _rate(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0


class Totals:
    """The numbers of one campaign, counted once: who is still a contact does not matter."""

    def __init__(self, campaign: Campaign) -> None:
        self.opens = self.human_opens = self.clicks = 0
        self.openers, self.human_openers, self.clickers = set[int](), set[int](), set[int]()
        self.last_open = self.last_click = ""
        self.bounces: Counter[str] = Counter()
        self.unique_clicks = set[tuple[int, str]]()
        for uid, events in campaign.events.items():
            for event in events:
                self._count(uid, event)

    def _count(self, uid: int, event: Event) -> None:
        at, action, kind, url, is_machine = event
        if action == "open":
            self.opens += 1
            self.openers.add(uid)
            self.last_open = max(self.last_open, at)
            if not is_machine:
                self.human_opens += 1
                self.human_openers.add(uid)
        elif action == "click":
            self.clicks += 1
            self.clickers.add(uid)
            self.unique_clicks.add((uid, url))
            self.last_click = max(self.last_click, at)
        else:
            self.bounces[kind] += 1


def totals_of(campaign: Campaign) -> Totals:
    if campaign.counted is None:
        campaign.counted = Totals(campaign)
    found: Totals = campaign.counted
    return found


def _campaign(account: Account, call: Call) -> Campaign:
    campaign = account.campaigns.get(call.args["campaign_id"])
    if campaign is None:
        raise not_found()
    return campaign


def _sent_between(account: Account, call: Call) -> list[Sent]:
    """Of every audience of the account, the latest first."""
    call.choice("type", TYPES)
    every = [(each, campaign) for each in account.audiences.values() for campaign in each.campaigns.values()]
    found = sorted(every, key=lambda sent: (sent[1].send_time, sent[1].web_id), reverse=True)
    if call.text("type") not in ("", "regular"):
        return []
    if since := call.time("since_send_time"):
        found = [sent for sent in found if sent[1].send_time > since]
    if before := call.time("before_send_time"):
        found = [sent for sent in found if sent[1].send_time < before]
    return found


def campaigns(account: Account, call: Call) -> Response:
    found = _sent_between(account, call)
    if call.choice("status", ("save", "paused", "schedule", "sending", "sent")) not in ("", "sent"):
        found = []
    if list_id := call.text("list_id"):
        found = [sent for sent in found if sent[0].list_id == list_id]
    call.choice("sort_field", ("create_time", "send_time"))
    if call.choice("sort_dir", SORT_DIR) == "ASC":
        found.reverse()
    return listing(call, CAMPAIGNS, "campaigns", found, build=lambda sent: _campaign_wire(*sent))


def campaign(account: Account, call: Call) -> Response:
    return answer(call, CAMPAIGN, _campaign_wire(account, _campaign(account, call)))


def _campaign_wire(account: Account, campaign: Campaign) -> Json:
    totals = totals_of(campaign)
    sent = len(campaign.recipients)
    return {
        "id": campaign.campaign_id,
        "web_id": campaign.web_id,
        "type": "regular",
        "create_time": campaign.send_time,
        "archive_url": "",
        "long_archive_url": "",
        "status": "sent",
        "emails_sent": sent,
        "send_time": campaign.send_time,
        "content_type": "template",
        "needs_block_refresh": False,
        "resendable": False,
        "recipients": {
            "list_id": account.list_id,
            "list_is_active": True,
            "list_name": account.name,
            "segment_text": "",
            "recipient_count": sent,
        },
        "settings": {"subject_line": campaign.subject, "preview_text": "", "title": campaign.title, "from_name": account.name},
        "tracking": {"opens": True, "html_clicks": True, "text_clicks": False, "ecomm360": True},
        "report_summary": {
            "opens": totals.opens,
            "unique_opens": len(totals.openers),
            "open_rate": _rate(len(totals.openers), sent),
            "clicks": totals.clicks,
            "subscriber_clicks": len(totals.clickers),
            "click_rate": _rate(len(totals.clickers), sent),
        },
        "delivery_status": {"enabled": False},
    }


def reports(account: Account, call: Call) -> Response:
    return listing(call, REPORTS, "reports", _sent_between(account, call), build=lambda sent: _report(*sent))


def report(account: Account, call: Call) -> Response:
    return answer(call, REPORT, _report(account, _campaign(account, call)))


def _report(account: Account, campaign: Campaign) -> Json:
    totals = totals_of(campaign)
    sent = len(campaign.recipients)
    opens: Json = {
        "opens_total": totals.opens,
        "unique_opens": len(totals.openers),
        "open_rate": _rate(len(totals.openers), sent),
        "last_open": totals.last_open,
    }
    if account.switches.proxy_fields:
        opens |= {
            "proxy_excluded_opens": totals.human_opens,
            "proxy_excluded_unique_opens": len(totals.human_openers),
            "proxy_excluded_open_rate": _rate(len(totals.human_openers), sent),
        }
    return {
        "id": campaign.campaign_id,
        "campaign_title": campaign.title,
        "type": "regular",
        "list_id": account.list_id,
        "list_is_active": True,
        "list_name": account.name,
        "subject_line": campaign.subject,
        "preview_text": "",
        "emails_sent": sent,
        "abuse_reports": len(campaign.complaints),
        "unsubscribed": len(campaign.unsubscribes),
        "send_time": campaign.send_time,
        "bounces": {"hard_bounces": totals.bounces["hard"], "soft_bounces": totals.bounces["soft"], "syntax_errors": 0},
        "forwards": {"forwards_count": 0, "forwards_opens": 0},
        "opens": opens,
        "clicks": {
            "clicks_total": totals.clicks,
            "unique_clicks": len(totals.unique_clicks),
            "unique_subscriber_clicks": len(totals.clickers),
            "click_rate": _rate(len(totals.clickers), sent),
            "last_click": totals.last_click,
        },
        "ecommerce": {"total_orders": 0, "total_spent": 0, "total_revenue": 0, "currency_code": account.currency},
        "delivery_status": {"enabled": False},
    }


def _present(account: Account, uids: Iterable[int]) -> list[int]:
    """Contacts deleted for good are gone from reports."""
    return [uid for uid in uids if uid in account.members]


def _person(account: Account, campaign: Campaign, uid: int) -> Json:
    wire = account.members[uid].wire
    return {
        "campaign_id": campaign.campaign_id,
        "list_id": account.list_id,
        "list_is_active": True,
        "email_id": wire["id"],
        "email_address": wire["email_address"],
        "merge_fields": wire["merge_fields"],
        "vip": wire["vip"],
    }


def _events(campaign: Campaign, uid: int, since: str | None, humans_only: bool) -> list[Event]:
    """One recipient's events in order of time, at most 1000 opens and 1000 clicks."""
    seen: Counter[str] = Counter()
    out = []
    for event in campaign.events.get(uid, ()):
        if (since and event[0] <= since) or (humans_only and event[4]):
            continue
        seen[event[1]] += 1
        if seen[event[1]] <= EVENTS_MAX:
            out.append(event)
    return out


def _humans_only(account: Account, call: Call) -> bool:
    """Where nobody counts machines apart, nobody can leave them out either."""
    return call.flag("filter_bots") and account.switches.proxy_fields


def email_activity(account: Account, call: Call) -> Response:
    """Every recipient; filter_bots takes away events, never a recipient."""
    found = _campaign(account, call)
    since, humans_only = call.time("since"), _humans_only(account, call)
    uids = _present(account, found.recipients)
    if since and account.switches.since_shortens:
        uids = [uid for uid in uids if _events(found, uid, since, humans_only)]

    def build(uid: int) -> Json:
        row = _person(account, found, uid)
        del row["merge_fields"], row["vip"]
        events = _events(found, uid, since, humans_only)
        # Rows without the key exist: airbytehq/airbyte#5024.
        if events or uid % 16:
            row["activity"] = [_activity(event) for event in events]
        return row

    return listing(call, ACTIVITY, "emails", uids, more={"campaign_id": found.campaign_id}, build=build)


def _activity(event: Event) -> Json:
    at, action, kind, url, _ = event
    row: Json = {"action": action, "timestamp": at}
    if action == "bounce":
        row["type"] = kind
        return row
    if url:
        row["url"] = url
    return {**row, "ip": "203.0.113.7"}


def open_details(account: Account, call: Call) -> Response:
    """Openers only. filter_bots drops who was opened for by machines alone."""
    found = _campaign(account, call)
    since, humans_only = call.time("since"), _humans_only(account, call)
    opens: dict[int, list[Event]] = {}
    for uid in _present(account, found.recipients):
        events = [event for event in _events(found, uid, since, humans_only) if event[1] == "open"]
        if events:
            opens[uid] = events
    uids = list(opens)
    if call.choice("sort_field", ("opens_count",)):
        uids.sort(key=lambda uid: len(opens[uid]), reverse=call.choice("sort_dir", SORT_DIR) == "DESC")
    more: Json = {"campaign_id": found.campaign_id, "total_opens": sum(len(events) for events in opens.values())}
    if account.switches.proxy_fields:
        more["total_proxy_excluded_opens"] = sum(not event[4] for events in opens.values() for event in events)
    return listing(call, OPENERS, "members", uids, more=more, build=lambda uid: _opener(account, found, uid, opens[uid]))


def _opener(account: Account, campaign: Campaign, uid: int, events: list[Event]) -> Json:
    has_proxy = account.switches.proxy_fields
    row = _person(account, campaign, uid)
    row["contact_status"] = account.members[uid].wire["status"]
    row["opens_count"] = len(events)
    if has_proxy:
        row["proxy_excluded_opens_count"] = sum(not event[4] for event in events)
    row["opens"] = [{"timestamp": event[0], **({"is_proxy_open": event[4]} if has_proxy else {})} for event in events]
    return row


def _clicks(account: Account, campaign: Campaign) -> dict[str, Counter[int]]:
    links: dict[str, Counter[int]] = {}
    for uid in _present(account, campaign.events):
        for event in campaign.events[uid]:
            if event[1] == "click":
                links.setdefault(event[3], Counter())[uid] += 1
    return dict(sorted(links.items()))


def _link(campaign: Campaign, url: str, clicks: Counter[int], total: int) -> Json:
    last = max(event[0] for uid in clicks for event in campaign.events[uid] if event[1] == "click" and event[3] == url)
    return {
        "id": link_id(campaign, url),
        "url": url,
        "total_clicks": clicks.total(),
        "click_percentage": _rate(clicks.total(), total),
        "unique_clicks": len(clicks),
        "unique_click_percentage": _rate(len(clicks), len(campaign.recipients)),
        "last_click": last,
        "campaign_id": campaign.campaign_id,
    }


def link_id(campaign: Campaign, url: str) -> str:
    return digest("link", campaign.campaign_id, url, length=10)


def click_details(account: Account, call: Call) -> Response:
    found = _campaign(account, call)
    links = _clicks(account, found)
    total = sum(clicks.total() for clicks in links.values())
    rows = [_link(found, url, clicks, total) for url, clicks in links.items()]
    if name := call.choice("sort_field", ("total_clicks", "unique_clicks")):
        rows.sort(key=lambda row: int(row[name]), reverse=call.choice("sort_dir", SORT_DIR) == "DESC")
    return listing(call, LINKS, "urls_clicked", rows, more={"campaign_id": found.campaign_id})


def _chosen_link(account: Account, call: Call) -> tuple[Campaign, str, Counter[int], int]:
    found = _campaign(account, call)
    links = _clicks(account, found)
    for url, clicks in links.items():
        if link_id(found, url) == call.args["link_id"]:
            return found, url, clicks, sum(each.total() for each in links.values())
    raise not_found()


def one_link(account: Account, call: Call) -> Response:
    return answer(call, LINK, _link(*_chosen_link(account, call)))


def clickers(account: Account, call: Call) -> Response:
    """No since and no filter for bots here."""
    found, _, clicks, _ = _chosen_link(account, call)

    def build(uid: int) -> Json:
        status = account.members[uid].wire["status"]
        row = _person(account, found, uid)
        return {**row, "clicks": clicks[uid], "url_id": call.args["link_id"], "contact_status": status}

    return listing(call, CLICKERS, "members", list(clicks), more={"campaign_id": found.campaign_id}, build=build)


def sent_to(account: Account, call: Call) -> Response:
    """Every recipient; open_count holds machine opens too."""
    found = _campaign(account, call)

    def build(uid: int) -> Json:
        events = found.events.get(uid, [])
        opens = [event[0] for event in events if event[1] == "open"]
        bounce = next((event[2] for event in events if event[1] == "bounce"), "sent")
        row = {**_person(account, found, uid), "status": bounce, "open_count": len(opens), "last_open": max(opens, default="")}
        return {**row, "gmt_offset": 0}

    uids = _present(account, found.recipients)
    return listing(call, SENT, "sent_to", uids, more={"campaign_id": found.campaign_id}, build=build)


def unsubscribed(account: Account, call: Call) -> Response:
    found = _campaign(account, call)
    left = [entry for entry in found.unsubscribes if entry[0] in account.members]

    def build(entry: tuple[int, str, str]) -> Json:
        return {**_person(account, found, entry[0]), "timestamp": entry[1], "reason": entry[2]}

    return listing(call, LEFT, "unsubscribes", left, more={"campaign_id": found.campaign_id}, build=build)


def _complaints(account: Account, found: list[Campaign]) -> list[Json]:
    """Number, contact and time of each complaint; those of deleted contacts are gone."""
    every = [(campaign, uid, at) for campaign in found for uid, at in campaign.complaints if uid in account.members]
    return [{**_person(account, campaign, uid), "id": n, "date": at} for n, (campaign, uid, at) in enumerate(every, 1)]


def abuse_reports(account: Account, call: Call) -> Response:
    """Of one campaign: all of them, for this one knows neither count nor offset."""
    found = _campaign(account, call)
    rows = _complaints(account, [found])
    return answer(call, COMPLAINTS, {"abuse_reports": rows, "campaign_id": found.campaign_id, "total_items": len(rows)})


def list_abuse_reports(account: Account, call: Call) -> Response:
    need_list(account, call)
    rows = _complaints(account, list(account.campaigns.values()))
    return listing(call, LIST_COMPLAINTS, "abuse_reports", rows, more={"list_id": account.list_id})


def one_activity(account: Account, call: Call) -> Response:
    """email-activity of one recipient."""
    found = _campaign(account, call)
    member = account.find(call.args["reference"])
    if member.uid not in set(found.recipients):
        raise not_found()
    row = _person(account, found, member.uid)
    del row["merge_fields"], row["vip"]
    events = _events(found, member.uid, call.time("since"), _humans_only(account, call))
    row["activity"] = [_activity(event) for event in events]
    return answer(call, ACTIVITY["emails"], row)


ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/campaigns", campaigns),
    ("GET", "/campaigns/{campaign_id}", campaign),
    ("GET", "/reports", reports),
    ("GET", "/reports/{campaign_id}", report),
    ("GET", "/reports/{campaign_id}/email-activity", email_activity),
    ("GET", "/reports/{campaign_id}/email-activity/{reference}", one_activity),
    ("GET", "/reports/{campaign_id}/open-details", open_details),
    ("GET", "/reports/{campaign_id}/click-details", click_details),
    ("GET", "/reports/{campaign_id}/click-details/{link_id}", one_link),
    ("GET", "/reports/{campaign_id}/click-details/{link_id}/members", clickers),
    ("GET", "/reports/{campaign_id}/sent-to", sent_to),
    ("GET", "/reports/{campaign_id}/unsubscribed", unsubscribed),
    ("GET", "/reports/{campaign_id}/abuse-reports", abuse_reports),
    ("GET", "/lists/{list_id}/abuse-reports", list_abuse_reports),
]
