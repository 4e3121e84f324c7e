"""The rule language: what an owner may write in `where`, checked, said back, and turned into SQL."""

from connector.rules.english import clause, say
from connector.rules.parse import parse
from connector.rules.sql import Compiler
from connector.rules.tree import Node, Place, Rule, RuleError, Warn, caret
from connector.rules.vocabulary import Known, Vocabulary, declared

__all__ = [
    "Compiler", "Known", "Node", "Place", "Rule", "RuleError", "Vocabulary", "Warn", "caret", "clause", "declared", "parse",
    "say",
]  # fmt: skip
