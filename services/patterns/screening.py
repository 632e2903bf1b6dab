"""What keeps a learning from spreading to other agents: secrets in it, and orders to whoever reads it."""

import math
import re
from collections import Counter
from typing import NamedTuple


class Sign(NamedTuple):
    reason: str
    pattern: re.Pattern[str]


def _sign(reason: str, pattern: str) -> Sign:
    return Sign(reason, re.compile(pattern, re.IGNORECASE))


# Formats as their issuers publish them; case matters in most, so these are compiled as they stand.
_KEYS = tuple(
    Sign(reason, re.compile(pattern))
    for reason, pattern in (
        ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        ("an AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b"),
        ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
        ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("a Slack webhook", r"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]+"),
        ("a Stripe key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
        ("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}"),
        ("an API key", r"\bsk-(?:[a-z0-9]+-)*[A-Za-z0-9_-]{20,}"),
        ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("a PyPI token", r"\bpypi-[A-Za-z0-9_-]{40,}"),
        ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        ("a URL with a password", r"\b[a-z][a-z0-9+.-]*://[^\s/:@<>{}$]+:[^\s/@<>{}$*]{3,}@"),
    )
)
_ASSIGNMENT = re.compile(
    r"(?:secret|passw(?:or)?d|passphrase|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)s?[\"']?"
    r"\s*(?::=|=>|[:=])\s*[\"'`]?([A-Za-z0-9+/=_.~!@#%^&-]{12,})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:bearer|basic)\s+([A-Za-z0-9+/=_.~-]{20,})", re.IGNORECASE)
# Bits for each character of a run of at least 12: random base64 and hex lie above, most words and names below.
_RANDOM_BITS = 3.0
_SHORTEST_SECRET = 12

_HELD_BACK = r"(?:secret|credential|token|password|api[ _-]?key|env(?:ironment)? var|\.env\b|ssh key|private key)"
_ORDERS = (
    _sign(
        "an order to drop earlier instructions",
        r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|all|your|system|any)\b"
        r".{0,40}\b(?:instruction|prompt|rule|guideline|direction|polic|constraint)",
    ),
    _sign(
        "an order to take on a role",
        r"\byou (?:are|act) now (?:an?|the|as|in)\b|\bfrom now on,? you\b|\bpretend (?:to be|you are)\b"
        r"|\bact as (?:an? )?(?:admin|root|system|developer|unrestricted)",
    ),
    _sign(
        "a forged message frame",
        r"<\|?/?(?:system|im_start|im_end|assistant|instructions?|tool_result)\b[^>]{0,40}>|\[/?INST\]"
        r"|(?:^|\n)\s*(?:#+\s*)?(?:system|developer)\s*(?:prompt|message)?\s*:",
    ),
    _sign(
        "an order to keep something from people",
        r"\b(?:do not|don't|never)\b.{0,20}\b(?:tell|inform|mention|reveal|show|alert|notify)\b"
        r".{0,30}\b(?:user|human|review|maintainer|operator|anyone)",
    ),
    _sign(
        "an order to send secrets away",
        r"\b(?:send|post|upload|exfiltrate|leak|print|forward|paste|curl)\b.{0,60}\b"
        + _HELD_BACK
        + r"s?\b.{0,60}\b(?:to|into|at)\b.{0,20}(?:https?://|\w+@|webhook|server|channel)",
    ),
    _sign(
        "a command that runs what it downloads",
        r"\b(?:curl|wget)\b[^\n|]{0,200}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"
        r"|\bbase64\s+(?:-d|--decode)\b[^\n]{0,80}\|\s*(?:ba)?sh\b",
    ),
    _sign(
        "an order to switch a check off",
        r"\b(?:always|must|should|just)\b.{0,30}(?:--no-verify|\bskip (?:the )?(?:review|tests?|ci|verification)"
        r"|\bdisable (?:the )?(?:tests?|ci|security|authentication|branch protection))"
        r"|\b(?:always|must)\b.{0,20}\b(?:approve|auto-?merge|vote (?:for|up))\b",
    ),
    # Zero-width, bidirectional and tag characters; joiners stay allowed, for emoji and some scripts need them.
    _sign("text that cannot be seen", "[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"),
)


def screen(title: str, body: str) -> tuple[str, ...]:
    """Why this learning has to be looked at by someone first; empty when nothing speaks against it.

    The reasons name what was found, never the text itself.
    """
    text = f"{title}\n{body}"
    found = [sign.reason for sign in (*_KEYS, *_ORDERS) if sign.pattern.search(text)]
    if _holds_random_value(text):
        found.append("a value that looks like a secret")
    return tuple(found)


def _holds_random_value(text: str) -> bool:
    values = [*_ASSIGNMENT.findall(text), *_BEARER.findall(text)]
    return any(_looks_random(value) for value in values)


def _looks_random(value: str) -> bool:
    """Letters and digits alternate in one long run; `process.env.API_TOKEN_V2` and `<your-token>` have no such run."""
    run = max(re.split(r"[^A-Za-z0-9]", value), key=len)
    alternates = len(re.findall(r"[0-9]+", run)) >= 2 and any(char.isalpha() for char in run)
    return alternates and len(run) >= _SHORTEST_SECRET and entropy(run) >= _RANDOM_BITS


def entropy(value: str) -> float:
    """Shannon entropy in bits for each character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
