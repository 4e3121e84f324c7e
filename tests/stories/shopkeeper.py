"""An owner of an account on one platform, who pushes one segment and watches what starts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import responses

from models.changes import Plan, TargetPlan
from tests.stories.small_world import PLATFORMS, Owner, World

NAME = "Rollcall: VIP"
VIP = '[[segment]]\nname = "VIP"\nwhere = "orders_total >= 1"\npush = ["hubspot"]\n'
LAX = "[guards]\nmin_members = 1000\n"


class Shopkeeper:
    """An owner of an account on one platform."""

    def __init__(
        self, mock: responses.RequestsMock, folder: Path, segments: str = VIP, *, only: str = "hubspot", more: str = ""
    ) -> None:
        self.world = World(mock, 12)
        self.owner = Owner(self.world, folder, segments, more=LAX)
        sections = re.split(r"\n(?=\[)", self.owner.config.path.read_text())
        kept = [s for s in sections if s.startswith(f"[{only}]") or not s.startswith(tuple(f"[{p}]" for p in PLATFORMS))]
        self.owner.config.path.write_text("\n".join(kept))
        self.owner.change_rule(f"[{only}]\n", f"[{only}]\n{more}\n")
        self.owner.pull()

    @property
    def sent(self) -> int:
        return self.world.mails("hubspot")

    def started(self) -> list[str]:
        return sorted(str(row["workflow"]) for row in self.world.hubspot.flows.enrolments)

    def push(self, people: Iterable[int], *, first: bool = False) -> TargetPlan:
        self.owner.believe({"VIP": people})
        _, plan = self.owner.push(first=first)
        return of_hubspot(plan)


def of_hubspot(plan: Plan) -> TargetPlan:
    (found,) = (t for t in plan.targets if t.target.platform == "hubspot")
    return found


def mails(plan: TargetPlan) -> int:
    return sum(s.people * s.mails for s in plan.starts if s.is_sure)
