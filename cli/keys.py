"""`precedent keys`: for operators, straight to the table of keys. Only the hash is stored; the text is shown once."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import click
import nats

from cli.platform import platform_urls
from shared.ids import new_id
from shared.keys import SCOPES, Scope, new_key

CHANGED = "keys.changed.v1"

INSERT = """
insert into control.api_keys (id, hash, prefix, principal, scopes, agents, expires_at)
values ($1, $2, $3, $4, $5, $6, $7)
"""
LIST = """
select prefix, principal, scopes, agents, created_at, expires_at, revoked_at from control.api_keys
order by created_at, id
"""
REVOKE = """
update control.api_keys set revoked_at = now()
where prefix = $1 and revoked_at is null and (expires_at is null or expires_at > now()) returning id
"""
# The same rights for as long as the old key was made for; the old one ends with the overlap, or before.
ROTATE = """
with old as (
  select * from control.api_keys
  where prefix = $1 and revoked_at is null and (expires_at is null or expires_at > now()) for update
), made as (
  insert into control.api_keys (id, hash, prefix, principal, scopes, agents, expires_at)
  select $2, $3, $4, principal, scopes, agents, now() + (expires_at - created_at) from old
)
update control.api_keys k set expires_at = least(k.expires_at, now() + $5::interval) from old
where k.id = old.id returning k.id
"""
OVERLAP_HOURS = 24
# A hundred years; what is to last longer has no end at all.
MOST_DAYS = 36_500


async def create_key(
    database_url: str,
    *,
    principal: str,
    scopes: Sequence[Scope],
    agents: Sequence[str],
    expires_at: datetime | None = None,
) -> str:
    """Stores a new key's hash and returns its text."""
    key = new_key()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            INSERT, new_id(), key.digest, key.prefix, principal, list(scopes), list(agents), expires_at
        )
    finally:
        await connection.close()
    return key.text


async def revoke_key(database_url: str, prefix: str) -> bool:
    """False when no valid key has this prefix."""
    return await _changed(database_url, REVOKE, prefix)


async def rotate_key(database_url: str, prefix: str, overlap: timedelta) -> str | None:
    """The text of a new key with the rights of the old one, or None when no valid key has this prefix."""
    key = new_key()
    done = await _changed(database_url, ROTATE, prefix, new_id(), key.digest, key.prefix, overlap)
    return key.text if done else None


async def _changed(database_url: str, statement: str, *arguments: Any) -> bool:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(statement, *arguments) is not None
    finally:
        await connection.close()


async def announce(nats_url: str | None) -> None:
    """Every gateway looks again at once; without NATS it does so within a second."""
    if nats_url is None:
        return
    connection = await nats.connect(nats_url, max_reconnect_attempts=1)
    await connection.publish(CHANGED, b"{}")
    await connection.drain()


class Name(click.ParamType[str]):
    """A text that is neither empty nor white space alone."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value if value.strip() else self.fail("it is empty", param, ctx)


@click.group()
@click.option("--database-url", envvar="PRECEDENT_DATABASE_URL", help="Postgres, as the role control_rw or the owner.")
@click.option("--nats-url", envvar="PRECEDENT_NATS_URL", help="So that every gateway hears of the change at once.")
@click.pass_context
def keys(context: click.Context, database_url: str | None, nats_url: str | None) -> None:
    """Create, list, revoke and rotate API keys (operators)."""
    found = platform_urls()
    context.obj = (database_url or found.get("database_url"), nats_url or found.get("nats_url"))
    if context.obj[0] is None:
        raise click.UsageError("set PRECEDENT_DATABASE_URL, or run this where `make run` keeps its .local")


@keys.command()
@click.option("--principal", type=Name(), required=True, help="Whom the key belongs to.")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="Repeatable.")
@click.option(
    "--agent",
    "agents",
    type=Name(),
    multiple=True,
    default=("*",),
    help="Glob of agent ids it may act for. Repeatable.",
)
@click.option("--days", type=click.IntRange(1, MOST_DAYS), help="Expires after so many days; without it never.")
@click.pass_obj
def create(urls: tuple[str, str | None], principal: str, scopes: Any, agents: Any, days: int | None) -> None:
    """Print a new key, once."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    print(asyncio.run(create_key(urls[0], principal=principal, scopes=scopes, agents=agents, expires_at=expires_at)))


@keys.command("list")
@click.pass_obj
def list_keys(urls: tuple[str, str | None]) -> None:
    """Show every key by its prefix; the text itself is nowhere."""

    async def rows() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(urls[0])
        try:
            return list(await connection.fetch(LIST))
        finally:
            await connection.close()

    for row in asyncio.run(rows()):
        state = _state(row, datetime.now(UTC))
        print(
            f"{row['prefix']}  {row['principal']:<20} {','.join(row['scopes']):<34} {' '.join(row['agents'])}  {state}"
        )


def _state(row: Mapping[str, Any], now: datetime) -> str:
    if row["revoked_at"]:
        return "revoked"
    if row["expires_at"] is None:
        return "valid"
    return f"{'expired' if row['expires_at'] <= now else 'expires'} {row['expires_at']:%F %H:%M} UTC"


@keys.command()
@click.argument("prefix")
@click.pass_obj
def revoke(urls: tuple[str, str | None], prefix: str) -> None:
    """The key with this PREFIX stops working within a second."""
    if not asyncio.run(revoke_key(urls[0], prefix)):
        raise _unknown(prefix)
    asyncio.run(announce(urls[1]))
    print(f"{prefix} is revoked")


@keys.command()
@click.argument("prefix")
@click.option("--overlap-hours", type=click.FloatRange(0, 24 * MOST_DAYS), default=OVERLAP_HOURS, show_default=True)
@click.pass_obj
def rotate(urls: tuple[str, str | None], prefix: str, overlap_hours: float) -> None:
    """Print a new key with the same rights; the one with this PREFIX stays valid for the overlap, and no longer."""
    text = asyncio.run(rotate_key(urls[0], prefix, timedelta(hours=overlap_hours)))
    if text is None:
        raise _unknown(prefix)
    print(text)
    asyncio.run(announce(urls[1]))


def _unknown(prefix: str) -> click.ClickException:
    return click.ClickException(f"no valid key has the prefix {prefix}; see `precedent keys list`")
