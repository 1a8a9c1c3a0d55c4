"""What the command fetched is valid where it lies, beside the package's own folder."""

import pytest

from testbed.bids import KINDS
from testbed.s3 import File, S3Server
from tests.faces import Shell, on_disk
from tests.oracles.allowed import unallowed
from tests.oracles.trees import Part, needs_trees, read_tree, write
from tests.oracles.validator import complaints

pytestmark = pytest.mark.slow


def fetched(tree, home, part):
    """Serve a tree, fetch a part of it by command; return the errors that are new, unallowed."""
    objects = {f"ds/{file.key}": File(tree.root / file.key) for file in tree.files}
    with S3Server({"bucket": objects}) as s3:
        shell = Shell(home, s3.url)
        done = shell(f"neurofetch get s3://bucket/ds --dest got {part}")
        assert done.code == 0, done.err
    assert on_disk(home / "got")
    return unallowed(complaints(home / "got") - complaints(tree.root), part)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("metadata inherited", Part((("subject", "01"),))),
        ("recordings that are folders", Part((("suffix", "meg"),))),
        ("electrodes and coordinates", Part((("session", "1"),))),
        ("a data set in a data set", Part((("datatype", "func"),))),
    ],
)
def test_a_part_that_the_command_fetched_is_valid(tmp_path, kind, part):
    tree = read_tree(write(KINDS[kind](), tmp_path / "whole"))
    assert not fetched(tree, tmp_path, part)


@needs_trees
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ds114", Part((("subject", "01"),))),
        ("ds000246", Part((("subject", "0001"),))),
        ("micr_SEMzarr", Part((("datatype", "micr"),))),
    ],
)
def test_a_part_of_a_real_tree_that_the_command_fetched_is_valid(trees, tmp_path, name, part):
    assert not fetched(read_tree(trees / name), tmp_path, part)
