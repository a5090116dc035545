"""Checks of the settings of each TLS mode, and the error message of a failed ACME request."""

import pytest
from tls import acme_reason, must_rebind, tls_problems

DIRECTORY = "https://acme.example.org/directory"

# The output of certbot 2 and 4 after a failed request.
REFUSED = """Requesting a certificate for vm.example.org

Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Domain: vm.example.org
  Type:   connection
  Detail: 192.0.2.10: Fetching http://vm.example.org/.well-known/acme-challenge/x: Connection refused.

Hint: The Certificate Authority failed to download the temporary challenge files created by Certbot.

Some challenges have failed.
Ask for help or search for solutions at https://community.letsencrypt.org."""
UNREACHABLE = """Saving debug log to /var/lib/trackbox/acme/logs/letsencrypt.log
An unexpected error occurred:
requests.exceptions.ConnectionError: HTTPSConnectionPool(host='acme.example.org', port=443): Max retries exceeded
Ask for help or search for solutions at https://community.letsencrypt.org."""


@pytest.mark.parametrize("mode", ["self_signed", "provided"])
def test_what_a_mode_does_not_use_is_no_problem(mode: str) -> None:
    assert tls_problems(mode, "192.0.2.10", "", "", []) == []


@pytest.mark.parametrize(
    "host", ["vm.example.org", "VM.example.org", "a.b-c.example.museum", "x.xn--p1ai", "trackbox.test"]
)
def test_acme_takes_a_name_in_the_dns(host: str) -> None:
    assert tls_problems("acme", host, DIRECTORY, "ada@example.org", []) == []


@pytest.mark.parametrize(
    "host", ["localhost", "trackbox", "192.0.2.10", "::1", "vm_1.example.org", "-.example.org", "a..b"]
)
def test_acme_takes_nothing_else(host: str) -> None:
    [said] = tls_problems("acme", host, DIRECTORY, "", [])
    assert said.startswith(f"trackbox_host is {host}, and nginx_tls acme needs a name in the DNS: set ")


@pytest.mark.parametrize("email", ["ada", "ada@example.org\nagree-tos = false", "a@b, c@d"])
def test_one_address_for_mail(email: str) -> None:
    [said] = tls_problems("acme", "vm.example.org", DIRECTORY, email, [])
    assert said.startswith("nginx_acme_email is ")


@pytest.mark.parametrize("url", ["http://acme.example.org", "acme.example.org", "", "https://x\nserver = y"])
def test_the_directory_is_an_address_of_https(url: str) -> None:
    [said] = tls_problems("acme", "vm.example.org", url, "", [])
    assert said.startswith("nginx_acme_directory is ")


@pytest.mark.parametrize("proxy", ["192.0.2.10", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32"])
def test_a_proxy_is_an_address_or_a_network(proxy: str) -> None:
    assert tls_problems("off", "vm", "", "", [proxy]) == []


@pytest.mark.parametrize(
    "proxy", ["proxy.example.org", "192.0.2.0/33", "", "192.0.2.10; allow all", "0.0.0.0/0", "::/0"]
)
def test_a_name_and_everybody_are_no_proxies(proxy: str) -> None:
    [said] = tls_problems("self_signed", "vm", "", "", [proxy])
    assert said.startswith("nginx_trusted_proxies: ")


def test_off_without_proxies_lets_nobody_in() -> None:
    [said] = tls_problems("off", "vm", "", "", [])
    assert said.startswith(
        "nginx_tls is off, and nginx_trusted_proxies is empty, so NGINX would refuse every client: name "
    )


@pytest.mark.parametrize(
    ("journal", "reason"),
    [
        (REFUSED, "192.0.2.10: Fetching http://vm.example.org/.well-known/acme-challenge/x: Connection refused"),
        (UNREACHABLE, "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='acme.example.org', port=443): "),
        ("one line.\n", "one line"),
        ("", "certbot said nothing"),
    ],
)
def test_why_there_is_no_certificate_is_what_the_server_said(journal: str, reason: str) -> None:
    assert acme_reason(journal).startswith(reason)


@pytest.mark.parametrize(
    ("address", "mode", "restarts"),
    [
        ("127.0.0.1", "self_signed", True),
        ("0.0.0.0", "self_signed", False),
        ("0.0.0.0", "off", True),
        ("127.0.0.1", "off", False),
        ("::1", "self_signed", False),
    ],
)
def test_nginx_restarts_where_it_opens_a_port_elsewhere(address: str, mode: str, restarts: bool) -> None:
    others = [{"name": "sshd", "port": 443, "address": "127.0.0.1"}, {"name": "nginx", "port": 80, "address": address}]
    nginx = {"name": "nginx", "port": 443, "address": address}
    assert must_rebind([*others, nginx, nginx], 443, mode) is restarts
    assert must_rebind(others, 443, mode) is False
