"""Diffs that the tests hand in."""


def diff(
    path: str = "src/auth.py", old: str = "    return user.token", new: str = "    return user.token or None"
) -> str:
    """One file, one hunk, one changed line."""
    return (
        f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n"
        f"@@ -1,2 +1,2 @@\n def handler(user):\n-{old}\n+{new}\n"
    )


def fix(**fields: object) -> dict[str, object]:
    """A body for `POST /v1/fixes`."""
    return {"agent_id": "claude", "repository": "acme/shop", "diff": diff(), "title": "fix: no token"} | fields
