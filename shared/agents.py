"""The coding agents that are told apart by name: a closed set, fit for a metric label."""

# What an agent's id, name or address contains -> its kind. The first that fits wins.
KINDS: tuple[tuple[str, str], ...] = (
    ("claude", "claude"),
    ("copilot", "copilot"),
    ("cursor", "cursor"),
    ("devin", "devin"),
    ("codex", "codex"),
    ("jules", "jules"),
    ("amp", "amp"),
    ("aider", "aider"),
    ("openhands", "openhands"),
    ("gemini", "gemini"),
    ("dependabot", "dependabot"),
    ("renovate", "renovate"),
    ("human", "human"),
)


def agent_kind(agent_id: str) -> str:
    """One of the kinds above, or `other`."""
    words = agent_id.lower().replace("_", "-").replace("/", "-").replace("[", "-").split("-")
    return next((kind for name, kind in KINDS if name in words), "other")
