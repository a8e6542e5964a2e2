"""Only Cloudflare's cookies are kept, few, and each for its account."""

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.http.cookies import MAX_SIZE, AccountCookies

URL = "https://chatgpt.com/backend-api/codex/responses"


def sent(cookies, account="one"):
    request = httpx.Request("POST", URL)
    cookies.add_to(request, account)
    return request.headers.get("cookie", "")


def answered(cookies, *lines, account="one"):
    headers = [(b"set-cookie", line if isinstance(line, bytes) else line.encode()) for line in lines]
    cookies.take_from(httpx.Response(200, headers=headers, request=httpx.Request("POST", URL)), account)


def test_cookies_of_cloudflare_come_back_to_the_account_that_got_them():
    cookies = AccountCookies()
    answered(cookies, "__cf_bm=abc; Path=/; Domain=chatgpt.com; Secure", "_cfuvid=def; Path=/")
    assert set(sent(cookies).split("; ")) == {"__cf_bm=abc", "_cfuvid=def"}
    assert sent(cookies, "two") == ""


@pytest.mark.parametrize(
    "line",
    [
        "session=abc; Path=/",
        "__Secure-next-auth.session-token=abc; Path=/; Secure",
        "__cf_bm=" + "a" * MAX_SIZE,
        b"__cf_bm=\xe9; Path=/",
        "__cf_bm=é; Path=/",
        b"__cf_bm=a\x01b; Path=/",
        "__cf_bm=abc; Domain=example.com",
        "__cf_bm=abc; Max-Age=0",
        "",
    ],
)
def test_no_other_cookie_is_kept(line):
    cookies = AccountCookies()
    answered(cookies, line)
    assert sent(cookies) == ""


def test_all_cookies_together_are_bounded():
    cookies = AccountCookies()
    answered(cookies, *(f"__cf_bm={'a' * 1000}; Path=/backend-api{'/' * n}" for n in range(50)))
    answered(cookies, *(f"_cfuvid={'a' * 1000}; Path=/" for _ in range(50)))
    assert 0 < len(sent(cookies)) <= MAX_SIZE + 100


def test_a_new_value_replaces_the_old_one():
    cookies = AccountCookies()
    for value in ("a" * 4000, "b" * 4000):
        answered(cookies, f"__cf_bm={value}; Path=/")
    assert sent(cookies) == "__cf_bm=" + "b" * 4000


def test_without_an_account_nothing_is_kept():
    cookies = AccountCookies()
    answered(cookies, "__cf_bm=abc; Path=/", account="")
    assert sent(cookies, "") == ""


def test_the_number_of_accounts_is_bounded():
    cookies = AccountCookies()
    for number in range(20):
        answered(cookies, "__cf_bm=abc; Path=/", account=str(number))
    assert sum(sent(cookies, str(number)) != "" for number in range(20)) == 8
    assert sent(cookies, "19")


async def test_a_client_keeps_them_itself():
    async with new_client(connect=1, silence=1) as client:
        headers = [("set-cookie", "__cf_bm=abc; Path=/"), ("set-cookie", "session=abc; Path=/")]
        answer = httpx.Response(200, headers=headers, request=httpx.Request("POST", URL))
        client.cookies.extract_cookies(answer)
        assert client.build_request("POST", URL).headers.get("cookie") == "__cf_bm=abc"
