"""All promises in one class to inherit."""

from __future__ import annotations

from connector.conformance.keeping import Keeping
from connector.conformance.manners import Manners
from connector.conformance.reading import Reading
from connector.conformance.writing import Writing


class Promises(Reading, Keeping, Writing, Manners):
    """What `adapters.base.Adapter` says in words. Give it a `world` fixture."""
