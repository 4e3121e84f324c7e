"""What people do on the platforms while they are read: every change there is, some of it without a trace.

A change tells which records it altered although no incremental pull can see it (the platform moves no date of theirs):
`World.silent`. Those are right again after a full read, and only then. `World.forever` are those of streams that are never
read in full, for they hold what happened: our copy is the history.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from connector.sandbox.base import Request
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.hubspot_crm import Record
from connector.sandbox.hubspot_wire import iso
from connector.sandbox.mailchimp import MailchimpSimulator
from connector.sandbox.mailchimp_load import add_event
from connector.sandbox.mailchimp_state import subscriber_hash
from connector.sandbox.sample_shop import sample_shop
from connector.sandbox.server import Sandbox, utc_now
from connector.sandbox.shop import Shop
from connector.sandbox.shopify import ShopifySimulator
from connector.sandbox.shopify_objects import CustomerNode, OrderNode
from tests.torture.account import Key

HELD_BACK = 12
"""Shopify customers who come with their orders while the shop is read; fewer of a small shop."""
RECENT = timedelta(days=40)
"""How old a mail may be that is still opened; older ones are looked at by full reads only."""
MOST_GONE = 12
"""More would be too many to be believed at once, of a small shop."""
KEY = {"authorization": "Bearer 0123456789abcdef0123456789abcdef-us1"}


def shop(customers: int, seed: int, mailings: int = 1000) -> Shop:
    """The sample shop up to yesterday, with its last `mailings` newsletters."""
    made = sample_shop(seed=seed, until=utc_now().replace(hour=0, minute=0, second=0, microsecond=0), customers=customers)
    made.mailings = made.mailings[-mailings:]
    return made


class HeldClock:
    """The real clock, naive UTC, which can be made to stand still."""

    def __init__(self) -> None:
        self._held: datetime | None = None

    def __call__(self) -> datetime:
        return self._held or utc_now()

    @contextmanager
    def held(self) -> Iterator[None]:
        self._held = utc_now()
        try:
            yield
        finally:
            self._held = None


class World:
    """One platform of a sandbox, and chance. `change()` does one thing, whichever is next."""

    def __init__(self, platform: str, sandbox: Sandbox, clock: HeldClock, seed: int) -> None:
        self.platform, self.sandbox, self.clock = platform, sandbox, clock
        self.chance = random.Random(f"{platform} {seed}")
        self.silent: set[Key] = set()
        self.forever: set[Key] = set()
        self.strangers: set[str] = set()
        self.done: list[str] = []
        self.departed = 0
        self._numbers = 0
        self._changing = threading.Lock()
        self._hands: Any = {"shopify": _Shopify, "mailchimp": _Mailchimp, "hubspot": _Hubspot}[platform](self)
        self._next: list[str] = []

    def change(self, kind: str = "") -> None:
        """kind: which of the things that can happen; without one they come in turn, shuffled."""
        with self._changing, self._hands.simulator._lock:
            if not kind:
                if not self._next:
                    self._next = list(self._hands.kinds)
                    self.chance.shuffle(self._next)
                kind = self._next.pop()
            if kind in self._hands.departures and self.departed >= MOST_GONE:
                kind = "edit"
            self.departed += kind in self._hands.departures
            getattr(self._hands, kind)()
            self.done.append(kind)

    def is_history(self, key: Key) -> bool:
        """Whether a record tells of something, or somebody, that another read would tell otherwise for good."""
        return key in self.forever or (key[0] != "members" and not self.strangers.isdisjoint(key[1].split(":")))

    def is_unseen(self, key: Key) -> bool:
        return key in self.silent or self.is_history(key)

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def edited(self, customers: list[str], **wanted: Any) -> None:
        self.sandbox.change(customers, {self.platform: wanted})

    def burst(self, customers: list[str]) -> None:
        """An import: all changed at the very same moment."""
        with self.clock.held():
            self.edited(customers, last_name=f"Imported {self.number()}")


class _Shopify:
    kinds = ("edit", "burst", "refuse", "newcomer", "refund", "recall", "edit_order", "delete_order", "delete_product",
             "leave", "merge")  # fmt: skip
    departures = frozenset({"delete_order", "delete_product", "leave", "merge"})

    def __init__(self, world: World) -> None:
        simulator = world.sandbox.simulators["shopify"]
        assert isinstance(simulator, ShopifySimulator)
        self.world, self.simulator, self.chance = world, simulator, world.chance
        self.shop = simulator.world
        held_back = min(HELD_BACK, len(self.shop.customers) // 5)
        self.waiting = [self._held_back(c) for c in self.chance.sample(self.shop.customers, held_back)]

    def _held_back(self, customer: CustomerNode) -> CustomerNode:
        self.shop.customers.remove(customer)
        for order in customer.orders:
            self.shop.orders.remove(order)
        self.shop.checkouts[:] = [c for c in self.shop.checkouts if c.customer is not customer]
        for gid in (customer.id, *(o.id for o in customer.orders)):
            self.shop.by_id.pop(gid)
        self.shop.by_source.pop(customer.source.customer_id)
        return customer

    def _some(self, count: int) -> list[CustomerNode]:
        return self.chance.sample(self.shop.customers, min(count, len(self.shop.customers)))

    def _order(self, fits: Callable[[OrderNode], bool]) -> OrderNode | None:
        found = [o for o in self.shop.orders if o.customer and not o.purchase.cancelled and fits(o)]
        return self.chance.choice(found) if found else None

    def _told(self, *orders: OrderNode) -> None:
        """An order moved, and with it the customer's sums, which move no date."""
        self.world.silent |= {("customers", str(o.customer.number)) for o in orders if o.customer}

    def edit(self) -> None:
        self.world.edited([c.source.customer_id for c in self._some(2)], last_name=f"Edited {self.world.number()}")

    def burst(self) -> None:
        self.world.burst([c.source.customer_id for c in self._some(60)])

    def refuse(self) -> None:
        self.world.edited([self._some(1)[0].source.customer_id], consent="unsubscribed")

    def newcomer(self) -> None:
        if not self.waiting:
            return self.edit()
        customer, now = self.waiting.pop(), self.simulator.clock()
        customer.created_at = customer.updated_at = now
        self.shop.customers.append(customer)
        self.shop.by_source[customer.source.customer_id] = customer
        self.shop.by_id[customer.id] = customer
        for order in customer.orders:
            order.purchase.at = order.updated_at = now
            self.shop.orders.append(order)
            self.shop.by_id[order.id] = order
        for name in ("customers", "orders"):
            self.simulator.lists[name].changed()

    def refund(self) -> None:
        order = self._order(lambda o: o.current > 1)
        if order:
            self._told(order)
            self.simulator.refund(order.purchase.order_id, Decimal("1.00"))

    def recall(self) -> None:
        """Something is given back for many orders at the very same moment."""
        found = [o for o in self.shop.orders if o.customer and not o.purchase.cancelled and o.current > 1]
        with self.world.clock.held():
            for order in self.chance.sample(found, min(60, len(found))):
                self._told(order)
                self.simulator.refund(order.purchase.order_id, Decimal("0.50"))

    def edit_order(self) -> None:
        order = self._order(lambda o: len(o.purchase.lines) > 1 and not o.removed and not o.purchase.refunded)
        if order:
            self._told(order)
            self.simulator.edit_order(order.purchase.order_id, 0)

    def delete_order(self) -> None:
        order = self._order(lambda o: True)
        if order:
            self._told(order)
            self.world.silent.add(("orders", str(order.number)))
            self.simulator.delete_order(order.purchase.order_id)

    def delete_product(self) -> None:
        product = self.chance.choice(self.shop.products)
        name = product.source.product_id
        holding = [o for o in self.shop.orders if any(line.product_id == name for line in o.purchase.lines)]
        self.world.silent |= {("orders", str(o.number)) for o in holding}
        carts = [c for c in self.shop.checkouts if any(line.product_id == name for line in c.cart.lines)]
        self.world.forever |= {("checkouts", str(c.number)) for c in carts}
        self.simulator.delete_product(name)

    def leave(self) -> None:
        (customer,) = self._some(1)
        self._lost(customer)
        self.world.edited([customer.source.customer_id], deleted=True)

    def merge(self) -> None:
        keep, lose = self._some(2)
        self.world.silent |= {("orders", str(o.number)) for o in keep.orders}
        self._lost(lose)
        self.simulator.merge(keep.source.customer_id, lose.source.customer_id)

    def _lost(self, customer: CustomerNode) -> None:
        self.world.silent.add(("customers", str(customer.number)))
        self.world.silent |= {("orders", str(o.number)) for o in customer.orders}
        self.world.forever |= {("checkouts", str(c.number)) for c in self.shop.checkouts if c.customer is customer}


class _Mailchimp:
    kinds = ("edit", "burst", "refuse", "newcomer", "tag", "archive", "erase", "move", "open", "click", "quit")
    departures = frozenset({"erase", "move"})

    def __init__(self, world: World) -> None:
        simulator = world.sandbox.simulators["mailchimp"]
        assert isinstance(simulator, MailchimpSimulator)
        self.world, self.simulator, self.chance = world, simulator, world.chance

    def _some(self, count: int, *statuses: str) -> list[str]:
        """customer_ids of members."""
        members = self.simulator.account.members.values()
        found = sorted(m.customer_id for m in members if m.customer_id and (not statuses or m.wire["status"] in statuses))
        return self.chance.sample(found, min(count, len(found)))

    def _md5(self, customer: str) -> str:
        account = self.simulator.account
        return str(account.members[account.by_customer[customer]].wire["id"])

    def edit(self) -> None:
        self.world.edited(self._some(2), last_name=f"Edited {self.world.number()}")

    def burst(self) -> None:
        self.world.burst(self._some(60))

    def refuse(self) -> None:
        self.world.edited(self._some(1, "subscribed"), consent="unsubscribed")

    def newcomer(self) -> None:
        number = self.world.number()
        body = {"email_address": f"new{number}@mail.example", "status": "subscribed"}
        request = Request("POST", "/3.0/lists/a1b2c3d4e5/members", {}, KEY, orjson.dumps(body))
        assert self.simulator.handle(request).status == 200

    def tag(self) -> None:
        self.world.edited(self._some(3), tags=["By hand", f"Fair {self.world.number() % 3}"])

    def archive(self) -> None:
        self.world.edited(self._some(1, "subscribed", "transactional"), archived=True)

    def erase(self) -> None:
        """Leaves no trace; what was told of its mails stays with us."""
        (customer,) = self._some(1)
        self.world.silent.add(("members", self._md5(customer)))
        self.world.strangers.add(self._md5(customer))
        self.world.edited([customer], deleted=True)

    def move(self) -> None:
        """Another address: another id; the old one is gone without a word, and all its mails are told of the new one."""
        (customer,) = self._some(1, "subscribed")
        address = f"moved{self.world.number()}@mail.example"
        self.world.silent.add(("members", self._md5(customer)))
        self.world.strangers |= {self._md5(customer), subscriber_hash(address)}
        self.world.edited([customer], email=address)

    def _mail(self) -> tuple[Any, str]:
        since = (self.simulator.clock() - RECENT).isoformat()
        recent = [c for c in self.simulator.account.campaigns.values() if c.send_time >= since and c.recipients]
        campaign = self.chance.choice(recent)
        members = self.simulator.account.members
        readers = sorted(members[uid].customer_id for uid in campaign.recipients if uid in members)
        return campaign, self.chance.choice([r for r in readers if r])

    def _happened(self, action: str, url: str = "") -> None:
        campaign, customer = self._mail()
        at = self.simulator.clock().isoformat(timespec="seconds") + "+00:00"
        add_event(self.simulator.account, campaign, customer, (at, action, "", url, False))

    def open(self) -> None:
        self._happened("open")

    def click(self) -> None:
        self._happened("click", "https://shop.example/new")

    def quit(self) -> None:
        """Leaves through a mail."""
        campaign, customer = self._mail()
        account = self.simulator.account
        uid = account.by_customer[customer]
        if uid in {each[0] for each in campaign.unsubscribes}:
            return self.edit()
        at = self.simulator.clock().isoformat(timespec="seconds") + "+00:00"
        campaign.unsubscribes.append((uid, at, "NORMAL"))
        campaign.counted = None
        self.world.edited([customer], consent="unsubscribed")


class _Hubspot:
    kinds = ("edit", "burst", "refuse", "newcomer", "order", "deal", "archive", "restore", "erase", "merge")
    departures = frozenset({"archive", "erase", "merge"})

    def __init__(self, world: World) -> None:
        simulator = world.sandbox.simulators["hubspot"]
        assert isinstance(simulator, HubspotSimulator)
        self.world, self.simulator, self.chance = world, simulator, world.chance
        self.crm = simulator.crm

    def _some(self, count: int) -> list[str]:
        """customer_ids of live contacts."""
        live = self.crm.tables["contacts"].live
        found = sorted(c for c, i in self.simulator.customers.items() if i in live)
        return self.chance.sample(found, min(count, len(found)))

    def _touched(self, *customers: str) -> None:
        """What hangs on these contacts names others from now on, and moves no date."""
        for customer in customers:
            contact = self.simulator.customers[customer]
            for other in ("orders", "deals", "tickets", "companies"):
                linked = {(other, str(i)) for i in self.crm.links.get(("contacts", other), {}).get(contact, ())}
                (self.world.forever if other == "tickets" else self.world.silent).update(linked)

    def edit(self) -> None:
        self.world.edited(self._some(2), last_name=f"Edited {self.world.number()}")

    def burst(self) -> None:
        self.world.burst(self._some(500))

    def refuse(self) -> None:
        self.world.edited(self._some(1), consent="unsubscribed")

    def newcomer(self) -> None:
        now, number = self.simulator.clock(), self.world.number()
        contact = self.crm.create("contacts", {"email": f"new{number}@mail.example", "lastname": "New"}, now, now)
        self._buys(contact, now)

    def _buys(self, contact: Record, now: datetime) -> None:
        props = {"hs_order_name": f"#N{self.world.number()}", "hs_total_price": "12.5", "hs_currency_code": "EUR",
                 "hs_external_created_date": iso(now), "hs_external_order_status": "paid"}  # fmt: skip
        order = self.crm.create("orders", props, now, now)
        self.crm.associate("orders", order.id, "contacts", contact.id)

    def order(self) -> None:
        orders = self.crm.tables["orders"].live
        with self.world.clock.held():
            for number in self.chance.sample(sorted(orders), min(500, len(orders))):
                self.crm.update("orders", orders[number], {"hs_external_order_status": "refunded"})

    def deal(self) -> None:
        deals = self.crm.tables["deals"].live
        for number in self.chance.sample(sorted(deals), min(3, len(deals))):
            self.crm.update("deals", deals[number], {"amount": f"{self.world.number()}.00"})

    def archive(self) -> None:
        (customer,) = self._some(1)
        self._touched(customer)
        self.world.edited([customer], archived=True)

    def restore(self) -> None:
        """Out of the recycle bin again; nobody is in it at first."""
        archived = self.crm.tables["contacts"].archived
        found = sorted(c for c, i in self.simulator.customers.items() if i in archived)
        if not found:
            return self.edit()
        customer = self.chance.choice(found)
        self._touched(customer)
        self.world.edited([customer], restored=True)
        self.world.departed -= 1

    def erase(self) -> None:
        (customer,) = self._some(1)
        self._touched(customer)
        self.world.silent.add(("contacts", str(self.simulator.customers[customer])))
        self.world.edited([customer], erased=True)

    def merge(self) -> None:
        keep, lose = self._some(2)
        self._touched(keep, lose)
        self.simulator.merge(keep, lose)
