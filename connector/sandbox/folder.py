"""The folder that goes with a sandbox: a configuration that points at it, and the secrets that configuration names."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connector.sandbox import sample_segments
from connector.sandbox.shop import Shop

STORE = "sandbox-shop.myshopify.com"
AUDIENCE = "a1b2c3d4e5"
SECRETS = {
    "shopify": "shpat_sandbox",
    "mailchimp": "0123456789abcdef0123456789abcdef-us1",
    "hubspot": "pat-eu1-sandbox",
}
MADE_HERE = "# Made by `rollcall sandbox serve`: three simulated platforms on this machine."
TEMPLATE = (
    f"{MADE_HERE}\n"
    + """\

[shop]
name = {name}
timezone = {timezone}
currency = {currency}

[shopify]
store = "{store}"
base_url = "{url}/shopify"
token = "file:secrets/shopify"
push = true

[mailchimp]
base_url = "{url}/mailchimp"
token = "file:secrets/mailchimp"
audience = "{audience}"
push = true

[hubspot]
base_url = "{url}/hubspot"
token = "file:secrets/hubspot"
push = true

"""
)
SEGMENTS = """\
[[segment]]
name = "Frequent"
where = "orders_total >= 3"
push = ["mailchimp"]

[[segment]]
name = "Lapsed 180"
where = "days_since_order > 180"
push = ["mailchimp"]

[[segment]]
name = "Top 10 percent"
where = "spend_rank_pct <= 10"
push = ["mailchimp"]
"""


def write_folder(directory: Path, shop: Shop, url: str, segments: str = SEGMENTS) -> None:
    """Write rollcall.toml and a 0600 file per secret. An owner's rollcall.toml stays; only its base_url lines move here. Raises
    FileExistsError, before anything is written, where an owner keeps keys of their own under these names."""
    directory.mkdir(parents=True, exist_ok=True)
    folder = directory / "secrets"
    kept = [f"secrets/{name}" for name, secret in SECRETS.items() if _holds_another(folder / name, secret)]
    if kept:
        raise FileExistsError(f"{directory} holds keys of your own ({', '.join(kept)}), which would be lost")
    folder.mkdir(exist_ok=True, mode=0o700)
    for name, secret in SECRETS.items():
        _write_private(folder / name, secret + "\n")
    path = directory / "rollcall.toml"
    if path.exists():
        path.write_text(repointed(path.read_text(encoding="utf-8"), url), encoding="utf-8")
        return
    text = TEMPLATE.format(
        name=_quoted(shop.name),
        timezone=_quoted(shop.timezone),
        currency=_quoted(shop.currency),
        url=url,
        store=STORE,
        audience=AUDIENCE,
    )
    path.write_text(text + segments, encoding="utf-8")


def require_made_up(directory: Path) -> None:
    """Raises FileExistsError where a store or a configuration is that no demonstration made: what it knows of an owner's accounts
    cannot be had again, nor can rules that an owner wrote into one that a demonstration made."""
    path = directory / "rollcall.toml"
    is_ours = path.exists() and _is_made_up(path.read_text(encoding="utf-8", errors="replace"))
    if not is_ours and (path.exists() or any(directory.glob("rollcall.duckdb*"))):
        raise FileExistsError(f"{directory} holds a store or a rollcall.toml of your own, which would be lost")


def _is_made_up(text: str) -> bool:
    try:
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    places = [str(dict(sections.get(name) or {}).get("base_url") or "") for name in SECRETS]
    is_here = all(urlsplit(p).hostname in ("127.0.0.1", "localhost", "::1") for p in places)
    return (
        text.startswith(MADE_HERE)
        and is_here
        and any(_as_made(sections, rules) for rules in (SEGMENTS, sample_segments.SEGMENTS))
    )


def _as_made(sections: dict[str, Any], rules: str) -> bool:
    """Whether a configuration is what is written here with these rules, but for the shop's own words and the addresses."""
    made = tomllib.loads(
        TEMPLATE.format(name='""', timezone='""', currency='""', url="", store=STORE, audience=AUDIENCE) + rules
    )
    for name in SECRETS:
        made[name]["base_url"] = sections[name]["base_url"]
    shop = sections.get("shop")
    return isinstance(shop, dict) and shop.keys() == made["shop"].keys() and sections == {**made, "shop": shop}


def _holds_another(path: Path, secret: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8", errors="replace").strip() not in ("", secret)


def repointed(text: str, url: str) -> str:
    """A configuration with the base_url of each platform at this address; everything else as it was."""
    lines: list[str] = []
    platform = ""
    for line in text.splitlines():
        header = re.match(r"\s*\[+\s*([A-Za-z0-9_.-]+)", line)
        if header:
            platform = header.group(1) if header.group(1) in SECRETS else ""
        if platform and re.match(r"\s*base_url\s*=", line):
            line = f'base_url = "{url}/{platform}"'
        lines.append(line)
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_private(path: Path, text: str) -> None:
    """Created 0600, never readable by others in between."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
