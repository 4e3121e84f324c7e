"""How a rule is written: quotes, brackets, comments and signs, looked at before and after the parser, with readable errors."""

from __future__ import annotations

import unicodedata

from sqlglot.errors import ParseError
from sqlglot.tokenizer_core import Token, TokenType

from connector.rules.nearest import nearest
from connector.rules.tree import Place, RuleError

DEPTH_LIMIT = 40

OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET)
CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET)
OPERANDS = (TokenType.VAR, TokenType.NUMBER, TokenType.STRING, TokenType.R_PAREN, TokenType.IS)
"""What a word may not follow without an operator between them."""

JOINING = ("and", "or", "not", "in", "like", "ilike", "between", "is")

NOT_HERE = {
    TokenType.SEMICOLON: "A rule is one condition; take the ; away.",
    TokenType.DCOLON: "A rule cannot change types (::); every column has its type already.",
    TokenType.SELECT: "A rule cannot hold a query of its own.",
    TokenType.FROM: "A rule cannot hold a query of its own.",
    TokenType.UNION: "A rule cannot hold a query of its own.",
    TokenType.EXCEPT: "A rule cannot hold a query of its own.",
    TokenType.INTERSECT: "A rule cannot hold a query of its own.",
    TokenType.WHERE: "Leave out the word where; the rule begins right with the condition.",
    TokenType.DAMP: "Write and instead of &&.",
    TokenType.DPIPE: "Write or instead of ||; texts cannot be joined in a rule.",
}

MEANT = {
    "≥": ">=", "≤": "<=", "≠": "<>", "＞": ">", "＜": "<", "＝": "=", "−": "-", "–": "-", "—": "-", "×": "*", "÷": "/",
    "‘": "'", "’": "'", "‚": "'", "“": "'", "”": "'", "„": "'", "«": "'", "»": "'", "´": "'", "，": ",", "（": "(", "）": ")",
    "％": "%",
}  # fmt: skip
"""Signs that a keyboard, a word processor or a web page puts where a plain one is meant."""


class Writing:
    """One rule's text with its tokens, and errors with a place in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []

    def wrong(self, reason: str, place: Place | None = None) -> RuleError:
        """The error to raise, with its place or that of the whole rule."""
        return RuleError(reason, self.text, place or Place(0, len(self.text)))

    def check_tokens(self) -> None:
        """Comments, semicolons, signs, brackets that do not match, and depth: before anything is parsed."""
        depth = 0
        for i, token in enumerate(self.tokens):
            place = Place(token.start, token.end + 1)
            if token.comments:
                raise self.wrong("A rule cannot hold a comment.", self._filled(token.end + 1, len(self.text)))
            if token.token_type in OPENING:
                depth += 1
                if depth > DEPTH_LIMIT:
                    raise self.wrong("This rule is nested too deeply. Split it into two segments.", place)
            if token.token_type in CLOSING:
                depth -= 1
                if depth < 0:
                    raise self.wrong("This ) closes nothing. Take it away, or add the ( it belongs to.", place)
            if token.token_type == TokenType.FROM and i and self.tokens[i - 1].text.lower() == "distinct":
                raise self.wrong("Write <> or =; here they count what is not known as different.", place)
            if token.token_type in NOT_HERE:
                raise self.wrong(NOT_HERE[token.token_type], place)
            self._check_signs(i, token, place)
        if depth:
            opened = [t for t in self.tokens if t.token_type in OPENING][-1]
            raise self.wrong("A ( is opened and never closed. Add the ) it needs.", Place(opened.start, opened.end + 1))
        self._check_hidden_comment()

    def _check_signs(self, i: int, token: Token, place: Place) -> None:
        """=< and => for <= and >=, and signs and letters that only look like the ones meant."""
        before = self.tokens[i - 1] if i else None
        if token.token_type == TokenType.LT and before and before.token_type == TokenType.EQ and before.end + 1 == token.start:
            raise self.wrong("Write <= for 'at most'.", Place(before.start, place.end))
        if token.token_type == TokenType.FARROW and (i < 2 or self.tokens[i - 2].text not in ("(", ",")):
            raise self.wrong("Write >= for 'at least'; => names an argument, as in bought(days => 90).", place)
        if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) or token.text.isascii():
            return
        for at in range(token.start, token.end + 1):
            sign = self.text[at]
            if sign in MEANT:
                plain = "a straight single quote, '" if MEANT[sign] == "'" else MEANT[sign]
                raise self.wrong(f"Write {plain} instead of {sign}.", Place(at, at + 1))
            if unicodedata.category(sign) == "Sc":
                raise self.wrong(f"Leave out the {sign}; money is in the shop's currency.", Place(at, at + 1))
        if not any(c.isalnum() for c in token.text):
            name = unicodedata.name(self.text[token.start], "a sign without a name").lower()
            raise self.wrong(f"A sign stands here that is not seen or not known ({name}). Take it away.", place)

    def _check_hidden_comment(self) -> None:
        """Text between tokens is blank, else it is a comment the tokenizer swallowed."""
        at = 0
        for token in [*self.tokens, None]:
            end = token.start if token else len(self.text)
            if self.text[at:end].strip():
                raise self.wrong("A rule cannot hold a comment.", self._filled(at, end))
            at = token.end + 1 if token else end

    def _filled(self, start: int, end: int) -> Place:
        """The place without the blanks it begins with."""
        return Place(end - len(self.text[start:end].lstrip()), end)

    def explain(self, error: ParseError) -> RuleError:
        """What the parser could not read, in words."""
        first = error.errors[0] if error.errors else {}
        line, col = int(first.get("line") or 1), int(first.get("col") or 1)
        lines = self.text.split("\n")
        start = sum(len(x) + 1 for x in lines[: line - 1]) + col - 1
        word = str(first.get("highlight") or "")
        begin = max(0, start - len(word) + 1)
        found = next((i for i, t in enumerate(self.tokens) if t.start <= begin <= t.end), None)
        if found is None:
            return self._unread(word, Place(begin, begin + max(1, len(word))), str(first.get("description") or ""))
        found = self._first_stray(found)
        token = self.tokens[found]
        word, place = self.text[token.start : token.end + 1], Place(token.start, token.end + 1)
        if word == ")" and found > 1 and self.tokens[found - 1].text == "(":
            name = self.tokens[found - 2]
            return self.wrong(f"{name.text} needs something between its brackets.", Place(name.start, name.end + 1))
        if word == "," and self._is_decimal_comma(found):
            return self.wrong(self._plain_number(self.tokens[found - 1].text, self.tokens[found + 1].text), place)
        return self._unread(word, place, str(first.get("description") or ""))

    def _unread(self, word: str, place: Place, said: str) -> RuleError:
        if word == "%":
            return self.wrong("Something is missing next to '%'. A share is written without it: 0.3 for 30 %.", place)
        if said.startswith("Required keyword"):
            return self.wrong(f"Something is missing next to '{word}'.", place)
        if word == ")":
            return self.wrong("What stands before this ) does not fit: a value is missing or one too many.", place)
        if "Expecting )" in said:
            return self.wrong("A ) is missing here, or a comma or operator before this.", place)
        meant = nearest(word, JOINING) if len(word) > 1 and word.lower() not in JOINING else ""
        if meant:
            return self.wrong(f"'{word}' cannot stand here. Did you mean '{meant}'?", place)
        return self.wrong(f"'{word}' cannot stand here. Join conditions with and / or, and put text in single quotes.", place)

    def _first_stray(self, found: int) -> int:
        """The parser takes a stray word for a name and stops behind it; the word itself is what is wrong."""
        while (
            found > 1
            and self.tokens[found - 1].token_type == TokenType.VAR
            and self.tokens[found - 2].token_type in OPERANDS
            and self.tokens[found].text != ")"
        ):
            found -= 1
        return found

    def _plain_number(self, left: str, right: str) -> str:
        """What to write instead of a number with a comma; three digits behind it may be thousands."""
        whole, _, point = left.partition(".")
        if len(point) == 3 and point.isdigit():
            return f"Numbers are written without signs for thousands and with a decimal point: {whole}{point}.{right}."
        if len(right.partition(".")[0]) == 3 and whole != "0" and not point:
            return f"Numbers are written without signs for thousands: {left}{right}. A decimal point stands as in 1.5."
        return f"Decimals are written with a point: {left}.{right}."

    def _is_decimal_comma(self, at: int) -> bool:
        if not 0 < at < len(self.tokens) - 1:
            return False
        left, comma, right = self.tokens[at - 1 : at + 2]
        both = left.token_type == right.token_type == TokenType.NUMBER
        return both and left.end + 1 == comma.start and comma.end + 1 == right.start
