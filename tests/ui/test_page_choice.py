"""What a choice in the page becomes: columns to count in, a command, a Python call. No server."""

import ast
import io
import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch._cli import build_parser
from neurofetch.errors import UsageError
from neurofetch.ui.catalogues import Columns, said_of
from neurofetch.ui.commands import FACETS, Choice, Source, call_for
from neurofetch.ui.directories import Directories, checked_folder
from neurofetch.ui.documents import Document
from neurofetch.ui.guard import Guard
from neurofetch.ui.page import checked_base_path

TEXTS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12
).filter(lambda text: text.isprintable() and bool(text.strip()))
CHOICES = st.dictionaries(
    st.sampled_from([*FACETS, "include", "exclude"]),
    st.lists(TEXTS, min_size=1, max_size=3, unique=True),
    max_size=4,
)
BUCKET = Source.checked({"kind": "bucket", "url": "s3://study/ds"})


@given(CHOICES)
def test_the_command_says_what_was_chosen_whatever_the_values_are(chosen):
    """The shell and the parser of the command give back each value as it is."""
    call = call_for(BUCKET, Choice.checked(chosen, BUCKET), "/data/my dir")
    program, *words = shlex.split(call.command)
    assert program == "neurofetch"
    arguments = build_parser().parse_args(words)
    assert (arguments.url, arguments.data_dir) == ("s3://study/ds", "/data/my dir")
    for name, values in chosen.items():
        dest = {"session": "ses", "derivative": "derivatives"}.get(name, name)
        assert getattr(arguments, dest) == values, name


@given(CHOICES)
def test_the_python_call_has_the_same_values(chosen):
    call = call_for(BUCKET, Choice.checked(chosen, BUCKET), "/data/my dir")
    *_, statement = ast.parse(call.python).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    assert [ast.literal_eval(one) for one in statement.value.args] == [
        "s3://study/ds",
        "/data/my dir",
    ]
    said = {one.arg: ast.literal_eval(one.value) for one in statement.value.keywords}
    for name, values in chosen.items():
        found = said.pop("derivatives" if name == "derivative" else name)
        assert [found] == values if isinstance(found, str) else found == values
    assert not said


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("participants.tsv", {"extension": ".tsv"}),
        ("README", {}),
        (
            "sub-01/ses-02/func/sub-01_ses-02_task-rest_run-1_bold.nii.gz",
            {
                "subject": "01",
                "session": "02",
                "task": "rest",
                "run": "1",
                "datatype": "func",
                "suffix": "bold",
                "extension": ".nii.gz",
            },
        ),
        (
            "derivatives/fmriprep/sub-01/anat/sub-01_space-MNI_desc-brain_mask.nii.gz",
            {
                "subject": "01",
                "datatype": "anat",
                "space": "MNI",
                "desc": "brain",
                "suffix": "mask",
                "extension": ".nii.gz",
                "derivative": "fmriprep",
            },
        ),
    ],
)
def test_a_path_says_its_facets(path, said):
    assert said_of(path) == said


ROWS = st.lists(
    st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(["1", "2", "10", "a"]) for name in ("subject", "task")}
    ),
    max_size=30,
)


@given(ROWS, st.sets(st.sampled_from(["1", "2", "10", "a", "none"])))
def test_columns_hold_each_file_and_give_back_what_is_chosen(rows, wanted):
    columns = Columns(("subject", "task", "run"))
    for number, said in enumerate(rows):
        columns.add(f"f{number}", number, 0, said)
    columns.finish()
    facets = {facet["name"]: facet["values"] for facet in columns.facets}
    assert "run" not in facets
    told = columns.rows(0, 100)
    for number, said in enumerate(rows):
        for name, codes in told["codes"].items():
            code = codes[number]
            assert said.get(name) == (None if code < 0 else facets[name][code])
    choice = Choice((("subject", tuple(wanted)),)) if wanted else Choice()
    expected = [n for n, said in enumerate(rows) if not wanted or said.get("subject") in wanted]
    assert list(columns.chosen(choice)) == expected


def test_values_are_in_natural_order():
    columns = Columns(("subject",))
    for value in ("10", "2", "1", "b2", "b10", "x"):
        columns.add(value, None, 0, {"subject": value})
    columns.finish()
    assert columns.facets[0]["values"] == ["1", "2", "10", "b2", "b10", "x"]
    assert columns.rows(0, 10)["bytes"] == [None] * 6


def document(rows, tail=()):
    lines = ['{\n  "schema": "neurofetch/1",\n  "files": [']
    lines += [",\n".join("    " + json.dumps(row) for row in rows)] if rows else []
    lines += ["  ]" + "".join(f",\n  {json.dumps(k)}: {json.dumps(v)}" for k, v in tail), "}\n"]
    return Document(io.BytesIO("\n".join(lines).encode()))


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3), max_size=20),
    st.integers(0, 25),
    st.integers(0, 25),
)
def test_files_of_a_document_are_read_from_anywhere(rows, begin, count):
    made = document(rows, [("error", {"files": ["    {"]})])
    assert len(made) == len(rows)
    assert made.head["error"] == {"files": ["    {"]}
    assert list(made.rows(begin, count)) == rows[begin : begin + count]


@pytest.mark.parametrize("text", [b"", b"[]", b"3", b"{", b"Traceback", b"\xff\xfe"])
def test_what_is_no_document_is_told(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of json, or ours
        Document(io.BytesIO(text))


@pytest.mark.parametrize("folder", ["a", "ds000001", "My data 2", "x.y-z_1+2"])
def test_a_plain_name_is_a_folder(folder):
    assert checked_folder(folder) == folder


def test_a_directory_that_is_named_twice_is_opened_once(tmp_path):
    opened = Directories([tmp_path, str(tmp_path), f"{tmp_path}/"])
    assert [one.name for one in opened.all()] == ["d1"]
    assert opened.place("d1", "new") == tmp_path / "new"
    assert not (tmp_path / "new").exists()


def test_a_guard_tells_nobody_its_secrets():
    guard = Guard(8000)
    assert guard.token not in repr(guard)
    assert guard.session not in repr(guard)
    assert guard.key not in repr(guard)
    assert len(guard.token) >= 43


@pytest.mark.parametrize("cookie", ["{}", "a=b; {}", "{}; a=b", 'x={{"; {}', "bad=\x01; {}"])
def test_the_cookie_is_found_among_those_of_other_programs(cookie):
    guard = Guard(8000)
    own = f"{guard.cookie_name}={guard.session}"
    assert guard.has_cookie({"cookie": cookie.format(own)})
    assert not Guard(8000).has_cookie({"cookie": cookie.format(own)})
    assert not Guard(8001).has_cookie({"cookie": cookie.format(own)})


@pytest.mark.parametrize("given_path", ["a b", "/a?b", "/a;b", "//../x", "/é/", "/a\n/"])
def test_what_is_no_base_path_is_refused(given_path):
    with pytest.raises(UsageError, match="Nothing was started"):
        checked_base_path(given_path)
