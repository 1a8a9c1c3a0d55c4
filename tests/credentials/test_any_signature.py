"""Whatever the key, the query and the headers: botocore computes the same signature."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from neurofetch.credentials.keys import Credentials, Keys
from neurofetch.credentials.signer import Signer
from testbed.s3 import Guard, Request
from tests.credential_world import KEY_ID, SECRET, TOKEN

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)
NAMES = st.from_regex(r"x-amz-[a-z]{1,9}(-[a-z0-9]{1,5})?", fullmatch=True)
VALUES = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)
HOSTS = st.sampled_from(["b.s3.eu-west-1.amazonaws.com", "127.0.0.1:9000", "[::1]:9000", "s3.lab"])
RESERVED = frozenset({"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"})


@given(
    key=TEXTS,
    safe=st.sampled_from(["/", "", "/!'()*~", "/$&+,:;=@"]),
    query=st.dictionaries(st.sampled_from(["prefix", "list-type", "delimiter"]), TEXTS),
    headers=st.dictionaries(NAMES.filter(lambda name: name not in RESERVED), VALUES, max_size=3),
    host=HOSTS,
    method=st.sampled_from(["GET", "HEAD", "PUT"]),
    token=st.sampled_from(["", TOKEN]),
    pays=st.booleans(),
)
def test_a_signature_is_what_botocore_makes_of_it(
    key, safe, query, headers, host, method, token, pays
):
    keys = Keys(KEY_ID, SECRET, token)
    signer = Signer(Credentials("mine", lambda: keys), "eu-west-1", requester_pays=pays)
    target = f"/b/{quote(key, safe=safe)}"
    if query:
        target += "?" + "&".join(f"{name}={quote(text, safe='')}" for name, text in query.items())
    mine = {**headers, "Range": "bytes=0-1", "User-Agent": "x"}
    more, used = signer.sign(method, host, target, mine)
    assert (used.keys, used.region) == (keys, "eu-west-1")
    assert not {*more} & {*headers}
    sent = {name.lower(): text for name, text in {**mine, **more, "Host": host}.items()}
    parts = urlsplit(target)
    guard = Guard(
        {KEY_ID: SECRET}, {KEY_ID: token} if token else {}, region="eu-west-1", payer=pays
    )
    asked = Request(
        method,
        "b",
        unquote(parts.path),
        dict(parse_qsl(parts.query, keep_blank_values=True)),
        sent,
        target=target,
        verb=method,
    )
    assert guard.refusal(asked) is None
