"""pybids and bids2table agree with what we choose for a query, or the specification decides.

The differences are listed by class in `DIFFERENCES`, each with the paragraph that decides. One that
no class explains is a failure.
"""

from typing import NamedTuple

import pytest

from neurofetch.errors import NeurofetchError
from testbed.bids import KINDS
from tests.oracles.others import BESIDE, Bids2table, Pybids, Question, questions, whole
from tests.oracles.trees import (
    NAMED,
    TREES,
    choose,
    lay,
    needs_trees,
    parts_of,
    read_tree,
    sample_of,
    write,
)

pytestmark = pytest.mark.slow


class Difference(NamedTuple):
    """Files that one of us has and the other not: whose, which, and what decides."""

    tool: str
    only: str
    which: object
    why: str

    def explains(self, tool, only, path, question):
        same = (self.tool, self.only) == (tool, only)
        return same and self.which(path, dict(question.filters))


DIFFERENCES = (
    Difference(
        "bids2table",
        "ours",
        lambda path, _: path.endswith(".json"),
        "Its table has a row for each data file; a sidecar is no row. For us a name that matches "
        "is a file that was asked for: 'Common principles', 'File name structure': entities and "
        "suffix are in the names of metadata files too.",
    ),
    Difference(
        "bids2table",
        "ours",
        lambda path, _: NAMED.fullmatch(path.rpartition("/")[2]) is None,
        "Its table has no row for a name that is not of BIDS. 'Common principles', 'File name "
        "structure': all data of a subject lie in the folder of the subject; so does such a file.",
    ),
    Difference(
        "pybids",
        "ours",
        lambda path, asked: path.endswith(".ds") and asked.get("extension") == ".ds",
        "It reads the extension from the files inside of a recording that is a folder. "
        "'Magnetoencephalography', 'CTF': the folder is the recording, and its extension is .ds.",
    ),
    Difference(
        "pybids",
        "ours",
        lambda _, asked: asked.get("datatype") == "emg",
        "Its list of datatypes is older than EMG. 'Modality specific files', 'Electromyography': "
        "the datatype is emg.",
    ),
    Difference(
        "pybids",
        "ours",
        lambda path, asked: "flip" in asked and f"_flip-{int(asked['flip'])}_" in path,
        "It compares flips letter by letter, and runs and echoes as numbers. 'Common principles', "
        "'Definitions': an index is a number, perhaps with zeros in front: flip-01 is flip-1.",
    ),
)


DESCRIBE = {"dataset_description.json", "participants.tsv", "participants.json", "README"}
"""Files that come along whatever the query: no judge is needed for them here."""


def answer(tree, question):
    """Return what we choose because it was asked for, each recording once; nothing is none."""
    try:
        wants = choose(tree, **dict(question.filters))
    except NeurofetchError:
        return set()
    asked = {whole(want.remote.key) for want in wants if want.why == "asked for"}
    return {path for path in asked - DESCRIBE if path.split("/")[0] not in BESIDE}


def differences(tree):
    """Return the differences that nothing explains."""
    found = []
    for other in (Pybids(tree.root), Bids2table(tree.root)):
        for question in filter(other.knows, questions(tree)):
            ours, theirs = answer(tree, question), other.answer(question) - DESCRIBE
            if other.name == "bids2table":  # it looks into the folders of subjects
                ours = {path for path in ours if path.startswith("sub-") and "/" in path}
            for only, paths in (("ours", ours - theirs), ("theirs", theirs - ours)):
                left = [
                    path
                    for path in sorted(paths)
                    if not any(d.explains(other.name, only, path, question) for d in DIFFERENCES)
                ]
                if left:
                    found.append(f"{question}: only {only} ({other.name}): {left[:3]}, {len(left)}")
    return found


@needs_trees
@pytest.mark.parametrize("name", TREES)
def test_a_query_means_what_it_means_to_pybids_and_bids2table(trees, name):
    found = differences(read_tree(trees / name))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_means_the_same_for_each_kind_of_data_set(tmp_path, kind):
    found = differences(read_tree(write(KINDS[kind](), tmp_path)))
    assert not found, "\n".join(found)


def test_the_judges_would_see_a_difference(tmp_path):
    tree = read_tree(write(KINDS["metadata inherited"](), tmp_path))
    question = Question((("subject", "01"), ("suffix", "bold")))
    for other in (Pybids(tree.root), Bids2table(tree.root)):
        assert other.answer(question) == {
            f"sub-01/func/sub-01_task-rest_run-{run}_bold.nii.gz" for run in "12"
        }


# -- metadata --------------------------------------------------------------------------------------


def changed_metadata(before, folder):
    """Return the data files of a part, and those whose metadata is not that in the whole."""
    after = Pybids(folder, metadata=True)
    data = after.data_files()
    return data, [path for path in data if before.metadata(path) != after.metadata(path)]


@needs_trees
@pytest.mark.parametrize("name", TREES)
def test_what_pybids_knows_of_a_file_in_the_whole_it_knows_in_the_part(trees, tmp_path, name):
    tree = read_tree(trees / name)
    before = Pybids(tree.root, metadata=True)
    for number, part in enumerate(sample_of(tree)):
        folder = lay(tree, choose(tree, **part.keywords), tmp_path / str(number))
        _, changed = changed_metadata(before, folder)
        assert not changed, f"{part}: {changed[:3]} and {len(changed)} in all"


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_is_whole_in_each_part_of_each_kind_of_data_set(tmp_path, kind):
    tree = read_tree(write(KINDS[kind](), tmp_path / "whole"))
    before, seen = Pybids(tree.root, metadata=True), 0
    for number, part in enumerate(parts_of(tree)):
        folder = lay(tree, choose(tree, **part.keywords), tmp_path / str(number))
        data, changed = changed_metadata(before, folder)
        assert not changed, f"{part}: {changed}"
        seen += len(data)
    assert seen


def test_the_judge_sees_metadata_that_was_left_behind(tmp_path):
    files = KINDS["metadata inherited"]()
    before = Pybids(write(files, tmp_path / "whole"), metadata=True)
    del files["task-rest_bold.json"]
    part = write(files, tmp_path / "part")
    _, changed = changed_metadata(before, part)
    assert len(changed) == 6
