"""The address that a limit by address counts for."""

import pytest

from services.gateway.addresses import client_address, trusted_networks
from shared.settings import SettingsError

PROXIES = "10.0.0.0/8, 192.0.2.7"


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("198.51.100.1", None, "198.51.100.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # said by nobody we trust
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the caller's own claim stands left of what is believed
        ("10.1.2.3", "203.0.113.9, 192.0.2.7 , 10.9.9.9", "203.0.113.9"),
        ("10.1.2.3", None, "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "10.1.1.1", "10.1.1.1"),
        ("10.1.2.3", "nonsense" * 20, ("nonsense" * 20)[:64]),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", None, "198.51.100.1"),
        ("testclient", None, "testclient"),
    ],
)
def test_only_what_trusted_proxies_say_is_believed(peer: str, forwarded: str | None, found: str) -> None:
    assert client_address(peer, forwarded, trusted_networks(PROXIES)) == found


def test_by_default_nobody_is_trusted() -> None:
    assert client_address("127.0.0.1", "203.0.113.9", trusted_networks("")) == "127.0.0.1"


def test_a_proxy_that_is_no_network_is_told() -> None:
    with pytest.raises(SettingsError, match="PRECEDENT_TRUSTED_PROXIES: 'proxy' does not appear to be"):
        trusted_networks("10.0.0.0/8,proxy")
