"""The store's own key, kept apart from it in `<store without ending>.keys` (mode 0600), and what is hashed with it.

Who has the store but not this file can neither tell who was forgotten nor cut the end off the audit trail unseen.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from connector.store import MEMORY, Store
from models.errors import StoreError

META = "store_key"
SEPARATOR = "\x1f"


def key_path(store: Store) -> Path | None:
    """Where the key lies; None for a store in memory, which keeps it in itself."""
    return None if store.path == MEMORY else Path(store.path).absolute().with_suffix(".keys")


def store_key(store: Store) -> bytes:
    """The key of this store, made at the first call. Raises StoreError when it is lost, damaged or readable by others."""
    path = key_path(store)
    if path is None:
        return _in_memory(store)
    if not path.exists():
        if is_needed(store):
            raise StoreError(
                f"The key file {path} is missing. Without it Rollcall cannot tell whom it must not import again. "
                "Put it back from a backup (`store.keys` in it)."
            )
        return _made(path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StoreError(f"The key file {path} can be read by others. Run `chmod 600` on it.")
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as e:
        raise StoreError(f"The key file {path} is damaged. Put it back from a backup (`store.keys` in it).") from e


def is_needed(store: Store) -> bool:
    """Somebody was forgotten, and only the same key can recognise them. (Without it the audit trail only says so.)"""
    return bool(store.sql("SELECT 1 FROM forgotten LIMIT 1"))


def seal(key: bytes, *parts: str) -> str:
    """HMAC-SHA256 of the parts, hex."""
    return hmac.new(key, SEPARATOR.join(parts).encode(), hashlib.sha256).hexdigest()


def installation(store: Store) -> str:
    """What tells this installation from another on the same account: the same as long as the key is, and telling nothing of it."""
    return seal(store_key(store), "installation")[:12]


def _in_memory(store: Store) -> bytes:
    held = store.value("SELECT value FROM meta WHERE name = ?", [META])
    if held is None:
        held = secrets.token_hex(32)
        store.insert("meta", [{"name": META, "value": held}])
    return bytes.fromhex(str(held))


def _made(path: Path) -> bytes:
    """A new key, whole in its place or not there at all."""
    key = secrets.token_bytes(32)
    fresh = path.with_name(path.name + ".tmp")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as f:
            f.write(key.hex() + "\n")
            f.flush()
            os.fsync(f.fileno())
        fresh.replace(path)
    except OSError as e:
        raise StoreError(f"The key file {path} cannot be written: {e.strerror}. Check the folder's permissions.") from e
    return key
