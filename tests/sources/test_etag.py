"""ETags as text: strong and weak ones, and what proxies make of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.model import RemoteFile
from neurofetch.sources.etag import if_match, is_weak, read_etag, same_etag

TAGS = st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E), min_size=1, max_size=40)
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@given(tag=TAGS.filter(lambda tag: not tag.startswith(("W/", "w/"))))
def test_an_etag_is_read_with_and_without_quotation_marks(tag: str) -> None:
    assert read_etag(f'"{tag}"') == read_etag(f' "{tag}" ') == tag
    weak = read_etag(f'W/"{tag}"')
    assert is_weak(weak)
    assert same_etag(weak, tag)
    assert same_etag(tag, weak)


@given(one=st.text(max_size=60), other=st.text(max_size=60))
def test_whatever_a_header_says_is_an_etag_or_none(one: str, other: str) -> None:
    first, second = read_etag(one), read_etag(other)
    assert first is None or first
    assert same_etag(first, first) == (first is not None)
    assert same_etag(first, second) == same_etag(second, first)
    guard = if_match(RemoteFile("k", "u", 1, first))
    assert not guard or "\n" not in guard["If-Match"]


@pytest.mark.parametrize("text", ["", " ", '""', 'W/""', "W/"])
def test_an_empty_etag_is_none(text: str) -> None:
    assert read_etag(text) is None
    assert not same_etag(read_etag(text), read_etag(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("abc", "abc-gzip"),
        ("abc", "W/abc--gzip"),
        ("abc", "W/abc;gzip"),
        ("W/abc", "abc-br"),
        (MD5, MD5.upper()),
        (f"{MD5}-12", f"W/{MD5.upper()}-12-gzip"),
    ],
)
def test_what_a_proxy_adds_is_looked_through(one: str, other: str) -> None:
    assert same_etag(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("abc", "ABC"), ("abc", "abcd"), (f"{MD5}-12", f"{MD5}-13"), (MD5, f"{MD5}-1"), ("abc", None)],
)
def test_etags_of_two_objects_stay_two(one: str, other: str | None) -> None:
    assert not same_etag(one, other)


@pytest.mark.parametrize(
    ("etag", "sent"),
    [
        ("abc", {"If-Match": '"abc"'}),
        ("W/abc", {}),
        (None, {}),
        ("", {}),
        ('a"b', {}),
        ("a b", {}),
        ("a\r\nX: y", {}),
    ],
)
def test_what_no_server_could_match_is_not_sent(etag: str | None, sent: dict[str, str]) -> None:
    assert if_match(RemoteFile("k", "u", 1, etag)) == sent
