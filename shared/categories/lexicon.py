"""Words that speak for a kind of change, chosen by hand: what a few hundred examples are too few to teach.

They are evidence, not rules: how much a hit counts is fitted (`categories.py`). Words are as `tokens.py` gives them.
"""

_SECURITY = """
access admin allowed allowlist attacker auth authenticate authenticated authentication authn authorization authorize
authorized authz blocklist cidr cipher cookie cors credential credentials crypto csp csrf cve decrypt denied deny
denylist dns dompurify encode encrypt encrypted escape escaped expose exposed forbidden ghsa grant hash hmac host
hostname httponly inject injection internal ip jwt leak limiter localhost loopback malicious mask masked mfa nonce oauth
origin origins otp owner ownership password passwords permission permissions policy private proto protocol prototype
purify rate redact redacted redirect redos revoke role roles safe saml samesite sanitize sanitized sanitizer scheme
scope secret secrets secure security session signature ssrf sso symlink tenant throttle timing token tokens totp
traversal trusted unauthorized unescape unsafe untrusted verified verify vulnerability whitelist xss
"""
_PERFORMANCE = """
alloc allocate allocation allocator arc arena ascii atom batch batched bench benchmark bitflags borrow buffer bulk bump
bytes cache cached caches caching capacity chunk clone cloned cold concurrency concurrent concurrently cow debounce
defer early explain fast faster fxhash fxhashmap gc hasher hashset hot index indexes inline iter join lazily lazy limit
lru map materialized memchr memo memoize memoized memory once optimization optimize optimized parallel perf performance
pool precompute prefetch preload rayon reserve reuse reused select set shortcut simd size skip slow smallvec thread
threads throttle unchecked usecallback usememo vacuum vec virtual virtualized weakmap worker
"""
_REFACTOR = """
cleanup deprecate deprecated export exports extract generic helper helpers import imports interface internal module
modules move moved refactor remove removed rename renamed simplify trait type types unused util utils
"""
_BUG_FIX = """
bug catch check correct correctly default edge empty ensure error errors except exists fallback fix fixes guard handle
instead invalid issue length missing nil none null optional prevent race regression should throw trim try undefined
valid when wrong
"""

# Plain sets: beside the keys of a dictionary Python goes through the fewer of the two only if it is one.
LEXICON: dict[str, set[str]] = {
    "security": set(_SECURITY.split()),
    "performance": set(_PERFORMANCE.split()),
    "refactor": set(_REFACTOR.split()),
    "bug_fix": set(_BUG_FIX.split()),
}
ANY_FIELD = set[str]().union(*LEXICON.values())

# What people call such a change in its title.
_SECURITY_TITLES = """
advisories advisory attack attacker attacks bypass bypasses clickjacking cors csp csrf cve dos escalation exploit
exploitable expose exposed exposure forgery ghsa harden hardened hardening hijacking injection injections insecure
leak leaked leaks malicious owasp pollution rce redos sandbox sanitization sanitize sanitized sanitizes secure
security smuggling spoof spoofing sqli ssrf ssti timing toctou traversal unauthenticated unauthorized untrusted
vulnerabilities vulnerability vulnerable xss
"""
_PERFORMANCE_TITLES = """
alloc allocate allocation allocations avoid batch bundle cache cached caching clone cloning concurrent debounce
efficient efficiently faster index indexes inline latency lazily lazy memo memoize memory optimise optimization
optimizations optimize optimized parallel perf performance preallocate prefetch quadratic reduce redundant reuse size
skip slow slower speed speedup throughput unnecessary
"""
_REFACTOR_TITLES = """
clean cleanup consolidate convert dedupe deduplicate drop extract extracted internal introduce merge migrate move
moved refactor refactored remove removed rename renamed reorganize replace restructure simplified simplify split type
types unused use
"""
_BUG_FIX_TITLES = """
broken bug bugs correct correctly crash crashes doesn don dont ensure error errors fail failing fails failure fix
fixed fixes fixing handle incorrect invalid issue missing not null prevent regression should undefined when wrong
"""

TITLE_LEXICON: dict[str, frozenset[str]] = {
    "security": frozenset(_SECURITY_TITLES.split()),
    "performance": frozenset(_PERFORMANCE_TITLES.split()),
    "refactor": frozenset(_REFACTOR_TITLES.split()),
    "bug_fix": frozenset(_BUG_FIX_TITLES.split()),
}
