"""The allow-list of an attempt's network: what an entry names, and which addresses a name may lead to."""

import pytest

from shared.domain.hosts import NETWORKS, PRESETS, Hosts, HostUnreadable, Network, tighter


@pytest.mark.parametrize(
    ("entry", "host", "port", "named"),
    [
        ("example.com", "example.com", 443, True),
        ("example.com", "EXAMPLE.com.", 80, True),
        ("example.com", "example.com", 22, False),
        ("example.com:22", "example.com", 22, True),
        ("example.com:22", "example.com", 443, False),
        ("example.com", "www.example.com", 443, False),
        ("example.com", "example.com.evil.org", 443, False),
        ("example.com", "evilexample.com", 443, False),
        ("*.example.com", "a.b.example.com", 443, True),
        ("*.example.com", "example.com", 443, False),
        ("*.example.com", "evilexample.com", 443, False),
        ("10.0.0.0/8", "10.9.8.7", 443, True),
        ("10.0.0.0/8:5000", "10.9.8.7", 5000, True),
        ("10.0.0.0/8", "11.0.0.1", 443, False),
        ("[::1]:8080", "[::1]", 8080, True),
        ("::1", "::1", 443, True),
        ("127.0.0.1:9", "::ffff:127.0.0.1", 9, True),
        ("127.0.0.1", "2130706433", 80, False),
        ("127.0.0.1", "0x7f.1", 80, False),
        ("example.com", "", 443, False),
    ],
)
def test_an_entry_names_a_host_and_its_ports(entry: str, host: str, port: int, named: bool) -> None:
    assert Hosts([entry]).named(host, port) is named


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "not an address",
    ],
)
def test_a_name_does_not_lead_to_this_machine_or_a_private_network(address: str) -> None:
    assert not Hosts(["example.com"]).reaches(address, 443)


def test_a_name_leads_to_public_addresses_and_to_those_that_the_list_names() -> None:
    assert Hosts(["example.com"]).reaches("93.184.216.34", 443)
    assert Hosts(["example.com", "10.0.0.0/8"]).reaches("10.0.0.1", 443)
    assert not Hosts(["example.com", "10.0.0.0/8:5000"]).reaches("10.0.0.1", 443)


@pytest.mark.parametrize(
    "entry", ["", "*", "a b", "http://example.com", "example.com:70000", "example.com:0", "a/b", "-x"]
)
def test_an_entry_that_is_no_host_is_named(entry: str) -> None:
    with pytest.raises(HostUnreadable, match="is no host"):
        Hosts([entry])


def test_every_preset_can_be_read() -> None:
    for entries in PRESETS.values():
        Hosts(entries)


def test_a_repository_only_tightens() -> None:
    allowed = {(asked, held) for held in NETWORKS for asked in NETWORKS if tighter(asked, held)}
    order: list[tuple[Network, Network]] = [("hosts", "open"), ("none", "open"), ("none", "hosts")]
    assert allowed == {*order, *((n, n) for n in NETWORKS)}
