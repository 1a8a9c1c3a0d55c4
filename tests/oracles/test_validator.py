"""What was chosen is a data set that works: the official BIDS validator finds nothing new wrong."""

import pytest

from testbed.bids import KINDS
from tests.oracles.allowed import ALLOWANCES
from tests.oracles.judge import verdicts
from tests.oracles.trees import TREES, needs_trees, parts_of, read_tree, sample_of, write
from tests.oracles.validator import complaints

pytestmark = pytest.mark.slow


@needs_trees
@pytest.mark.parametrize("name", TREES)
def test_a_part_of_a_real_data_set_has_no_error_that_the_whole_has_not(trees, name):
    """Some parts of each tree; ``python -m tests.oracles`` judges all of them."""
    tree = read_tree(trees / name)
    bad = [str(verdict) for verdict in verdicts(tree, sample_of(tree)) if not verdict.good]
    assert not bad, "\n".join(bad)


@needs_trees
def test_the_names_of_the_trees_are_those_of_the_archive(trees):
    assert tuple(sorted(path.name for path in trees.iterdir())) == TREES


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_each_kind_of_data_set_is_valid(tmp_path, kind):
    root = write(KINDS[kind](), tmp_path / "whole")
    assert not complaints(root)
    tree = read_tree(root)
    bad = [str(verdict) for verdict in verdicts(tree, parts_of(tree)) if not verdict.good]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("kind", "lost", "code"),
    [
        ("metadata inherited", "task-rest_bold.json", "SIDECAR_KEY_REQUIRED"),
        ("gradients inherited", "dwi.bval", "DWI_MISSING_BVAL"),
        ("electrodes and coordinates", "coordsystem.json", "REQUIRED_COORDSYSTEM"),
        ("names passed over", ".bidsignore", "NOT_INCLUDED"),
        ("columns inherited", "task-rest_physio.json", "SIDECAR_KEY_REQUIRED"),
    ],
)
def test_the_judge_sees_what_is_lost(tmp_path, kind, lost, code):
    files = KINDS[kind]()
    del files[lost]
    assert code in {issue.code for issue in complaints(write(files, tmp_path))}


def test_every_allowance_says_why_and_covers_a_code_once():
    assert len({rule.code for rule in ALLOWANCES}) == len(ALLOWANCES)
    assert all(len(rule.why) > 40 for rule in ALLOWANCES)
