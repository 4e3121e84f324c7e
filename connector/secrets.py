"""The one door to secrets: env:NAME, keyring:NAME, file:PATH. Never a plain value in the configuration."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from models.errors import ConfigError

KEYRING_SERVICE = "rollcall"


def resolve(reference: str, *, key: str, base: Path) -> str:
    """The secret behind a reference. `key` names the configuration key in errors; `base` anchors relative paths.

    Raises ConfigError when it is missing, empty, readable by others, or written into the file itself. The message never
    holds the value.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = os.environ.get(name, "")
        missing = f"The environment variable {name} is not set. `{key}` needs it: set it, then run the command again."
    elif kind == "keyring" and name:
        import keyring

        value = keyring.get_password(KEYRING_SERVICE, name) or ""
        missing = f"The keyring holds nothing called {name}. `{key}` needs it: `keyring set {KEYRING_SERVICE} {name}`."
    elif kind == "file" and name:
        value = _from_file(base / Path(name).expanduser(), key)
        missing = f"The file behind `{key}` is empty. Put the secret in it."
    else:
        raise ConfigError(
            f"`{key}` must not hold the secret itself. Write env:NAME, keyring:NAME or file:PATH and keep the secret there."
        )
    value = value.strip()
    if not value:
        raise ConfigError(missing)
    return value


def _from_file(path: Path, key: str) -> str:
    try:
        mode = path.stat().st_mode
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"The file behind `{key}` can be read by others: {path}. Run `chmod 600` on it.")
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"The file behind `{key}` cannot be read: {path} ({e.strerror}). Check the path.") from e
