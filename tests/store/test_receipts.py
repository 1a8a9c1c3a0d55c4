"""A receipt on the disk: one line of JSON, whatever the names are."""

import json

from hypothesis import given
from hypothesis import strategies as st

from neurofetch.model import Receipt, VerificationLevel
from neurofetch.store.receipts import Journal, read_receipts

TEXT = st.text(st.characters(), max_size=30)
NUMBER = st.integers(0, 1 << 62)


@given(
    path=TEXT,
    key=TEXT,
    etag=TEXT,
    size=NUMBER,
    modified=NUMBER,
    level=st.sampled_from(VerificationLevel),
    digest=TEXT,
    when=st.floats(0, 4e9),
)
def test_a_line_is_what_json_itself_would_write_and_comes_back(
    tmp_path_factory, path, key, etag, size, modified, level, digest, when
):
    state = tmp_path_factory.mktemp("state")
    receipt = Receipt(path, key, etag, size, modified, level, digest, when)
    journal = Journal(state)
    journal.append(receipt)
    journal.close()
    (file,) = (state / "receipts").iterdir()
    names = ("path", "key", "etag", "size", "mtime_ns", "rung", "digest", "when", "seq")
    values = (path, key, etag, size, modified, level.value, digest, when, 1)
    expected = json.dumps(dict(zip(names, values, strict=True)), separators=(",", ":"))
    assert file.read_text(encoding="ascii") == f"{expected}\n"
    assert read_receipts(state) == {path: receipt}
