"""Where a request comes from, for limits by address."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from shared.settings import SettingsError

Networks = Sequence[IPv4Network | IPv6Network]
# What one customer of a provider usually gets: a limit by single address would be no limit.
IPV6_PREFIX = 64


def trusted_networks(text: str) -> Networks:
    """Addresses or networks, separated by commas. Raises `SettingsError`."""
    try:
        return [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise SettingsError(f"PRECEDENT_TRUSTED_PROXIES: {error}") from None


def client_address(peer: str, forwarded: str | None, trusted: Networks) -> str:
    """The nearest address that is not a trusted proxy's; `forwarded` is `X-Forwarded-For`.

    Each proxy appends whom it heard, so only what trusted ones appended is believed: from the right.
    """
    found = peer
    for hop in reversed((forwarded or "").split(",")):
        if not _is_trusted(found, trusted) or not hop.strip():
            break
        found = hop.strip()
    return _network(found)


def _is_trusted(address: str, trusted: Networks) -> bool:
    try:
        return any(ip_address(address) in network for network in trusted)
    except ValueError:
        return False


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, IPV6_PREFIX), strict=False))
