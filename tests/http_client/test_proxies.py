"""Which proxy a host is reached through, by what the environment says."""

import pytest

from amplifier_module_provider_openai_chatgpt.http.failures import NetworkSettingFailure
from amplifier_module_provider_openai_chatgpt.http.proxies import (
    Proxies,
    ProxySetting,
    is_exempt,
    is_this_machine,
)

SECRET = "pass-of-the-proxy"


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("*", "chatgpt.com"),
        ("chatgpt.com", "chatgpt.com"),
        ("chatgpt.com", "ChatGPT.com."),
        ("chatgpt.com", "api.chatgpt.com"),
        (".chatgpt.com", "chatgpt.com"),
        ("*.chatgpt.com", "api.chatgpt.com"),
        ("x, chatgpt.com", "chatgpt.com"),
        ("x chatgpt.com", "chatgpt.com"),
        ("chatgpt.com:443", "chatgpt.com"),
        ("https://chatgpt.com", "chatgpt.com"),
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3:443", "10.1.2.3"),
        ("fd07:b51a:cc66:f0::/64", "fd07:b51a:cc66:f0::1"),
        ("fd07::1", "fd07::1"),
        ("[fd07::1]:443", "fd07:0::1"),
    ],
)
def test_hosts_that_the_list_exempts(no_proxy, host):
    assert is_exempt(no_proxy, host, 443)


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("", "chatgpt.com"),
        (",", "chatgpt.com"),
        ("gpt.com", "chatgpt.com"),
        ("api.chatgpt.com", "chatgpt.com"),
        ("chatgpt.com:8080", "chatgpt.com"),
        ("10.0.0.0/8", "11.1.2.3"),
        ("10.0.0.0/8", "fd07::1"),
        ("10.0.0.0/99", "10.1.2.3"),
        ("fd07::/64", "chatgpt.com"),
        ("[::1,:::,http://,[]:x,*.", "chatgpt.com"),
    ],
)
def test_hosts_that_the_list_does_not_exempt(no_proxy, host):
    assert not is_exempt(no_proxy, host, 443)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.1.2.3", "::1", "a.localhost"])
def test_this_machine_has_no_proxy(host):
    assert is_this_machine(host)
    assert Proxies(ProxySetting("HTTPS_PROXY", "http://proxy:8080")).for_host(host, 443) is None


@pytest.mark.parametrize("host", ["localhost.example", "128.0.0.1", "notlocalhost", "::2"])
def test_other_machines_have_one(host):
    assert Proxies(ProxySetting("HTTPS_PROXY", "http://proxy:8080")).for_host(host, 443) is not None


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("http://proxy:8080", "http://proxy:8080"),
        ("proxy:8080", "http://proxy:8080"),
        (" https://proxy ", "https://proxy"),
        ("socks5h://[::1]:1080", "socks5://[::1]:1080"),
    ],
)
def test_addresses_of_proxies(value, url):
    assert str(ProxySetting("HTTPS_PROXY", value).url()) == url


@pytest.mark.parametrize(
    "value",
    [
        f"socks://user:{SECRET}@proxy",
        f"http://user:{SECRET}@proxy:{SECRET}",
        f"http://user:{SECRET}@:1",
        f"http://user:{SECRET}@proxy:70000",
        f"'http://{SECRET}'",
        f"http://{SECRET}\x00",
    ],
)
def test_an_address_that_cannot_be_used_is_reported_by_its_variable_only(value):
    setting = ProxySetting("HTTPS_PROXY", value)
    with pytest.raises(NetworkSettingFailure, match=r"^HTTPS_PROXY ") as raised:
        setting.url()
    assert SECRET not in f"{raised.value} {setting!r}"
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, None),
        ({"HTTP_PROXY": "a"}, None),
        ({"HTTPS_PROXY": "a", "ALL_PROXY": "b"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": " ", "ALL_PROXY": "b"}, "ALL_PROXY"),
        ({"HTTPS_PROXY": "a", "https_proxy": "b"}, "https_proxy"),
        ({"all_proxy": "b"}, "all_proxy"),
    ],
)
def test_the_variable_that_decides(monkeypatch, environ, variable):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    setting = Proxies.from_environment().https
    assert (setting.variable if setting else None) == variable
