"""The filters do what the user's page says, on the names of the real bucket."""

import itertools
import random
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from neurofetch.errors import NothingMatchedError, UnknownValueError, UsageError
from neurofetch.model import RemoteFile
from neurofetch.planning.query import glob_test
from neurofetch.planning.select import (
    Family,
    Query,
    Rules,
    Selection,
    choose,
    query,
    resolve,
    select,
)
from neurofetch.planning.suggest import meant, shorten
from testbed.laion import ROOT_FILES

MEAN = "mean-R² map: the loader derives the brain mask from it"
ROI = "ROI: belongs to no session"
LAION = Rules(
    root_files=ROOT_FILES,
    averages="averages",
    with_sessions=(
        Family(
            MEAN,
            prefixes=("derivatives/glmsingle-tedana/",),
            entities=(("desc", "R2mean"), ("stat", "rsquare")),
            extension=".nii.gz",
        ),
    ),
    sessionless=(Family(ROI, prefixes=("derivatives/rois/", "derivatives/atlases/")),),
    mirrored=(Family("include_stimuli", prefixes=("stimuli/",)),),
    sidecars=True,
)

GLM = "derivatives/glmsingle-tedana"
T1W = "task-images_space-T1w"


def _with_json(stems: Iterable[str], extension: str) -> list[str]:
    return [stem + ext for stem in stems for ext in (extension, ".json")]


def _session(sub: str, ses: str) -> list[str]:
    start = f"{GLM}/{sub}/{ses}/func/{sub}_{ses}_"
    maps = [
        f"{start}{T1W}_{name}"
        for name in (
            "stat-effect_desc-SingletrialBetas_statmap",
            "stat-rsquare_desc-R2_statmap",
            "desc-Noiseceiling_statmap",
            "desc-HRFindex_dseg",
        )
    ]
    return [
        f"{GLM}/{sub}/{ses}/func/figures/R2.png",
        f"{start}task-images_desc-GLMsingle_summary.json",
        *_with_json([f"{start}task-images_desc-SingletrialBetas_trials"], ".tsv"),
        *_with_json(maps, ".nii.gz"),
    ]


def _subject(sub: str) -> list[str]:
    start = f"{GLM}/{sub}/{sub}_"
    roi = f"derivatives/rois/{sub}/face/{sub}"
    return [
        f"{start}task-images_desc-GLMsingle_summary.json",
        *_with_json(
            [f"{start}{T1W}_desc-{n}_statmap" for n in ("Noiseceiling4rep", "R4")], ".nii.gz"
        ),
        *_with_json([f"{start}{T1W}_stat-rsquare_desc-R2mean_statmap"], ".nii.gz"),
        f"{roi}_space-T1w_res-1pt8_label-FFA-1_mask.nii.gz",
        f"{roi}_hemi-L_space-fsnative_label-FFA-1_mask.func.gii",
        f"derivatives/atlases/{sub}/rois/V1.nii.gz",
    ]


KEYS = [
    *ROOT_FILES,
    "stimuli/task-images_desc-captions.csv",
    *(key for sub in ("sub-01", "sub-03") for key in _subject(sub)),
    *(
        key
        for sub, ses in itertools.product(("sub-01", "sub-03"), ("ses-01", "ses-02", "ses-31"))
        for key in _session(sub, ses)
    ),
]


def remote(keys: Iterable[str]) -> list[RemoteFile]:
    return [RemoteFile(key, f"http://x/{key}", 1) for key in keys]


FILES = remote(KEYS)


def pick(**filters: object) -> dict[str, str]:
    """Each chosen key with its reason."""
    return reasons(select(FILES, query(**filters), LAION))  # type: ignore[arg-type]


def reasons(selection: Selection) -> dict[str, str]:
    return {chosen.remote.key: chosen.why for chosen in selection.files}


def asked(**filters: object) -> set[str]:
    return {key for key, why in pick(**filters).items() if why == "asked for" or "passes" in why}


def mean_map(sub: str = "sub-03", extension: str = ".nii.gz") -> str:
    return f"{GLM}/{sub}/{sub}_{T1W}_stat-rsquare_desc-R2mean_statmap{extension}"


BETAS = f"{GLM}/sub-03/ses-01/func/sub-03_ses-01_{T1W}_stat-effect_desc-SingletrialBetas_statmap"
IN_NO_SESSION = {key for key in KEYS if "/sub-03" in key and "ses-" not in key}
ROIS = {key for key in IN_NO_SESSION if "rois/" in key}
SUMMARIES = IN_NO_SESSION - ROIS


class TestSessions:
    def test_no_filter_takes_all(self) -> None:
        assert set(pick()) == set(KEYS)

    def test_a_session_leaves_out_summaries_and_other_sessions(self) -> None:
        chosen = asked(sub="03", ses="ses-01")
        assert chosen == {key for key in KEYS if "sub-03/ses-01/" in key}
        assert f"{GLM}/sub-03/ses-01/func/figures/R2.png" in chosen

    def test_averages_are_the_files_of_no_session(self) -> None:
        assert asked(sub="03", ses="averages") == SUMMARIES

    @pytest.mark.parametrize("averages", ["averages", "ses-averages", "Averages"])
    def test_both_together_are_the_union(self, averages: str) -> None:
        both = set(pick(sub="03", ses=["ses-01", averages]))
        assert both == set(pick(sub="03", ses="ses-01")) | set(pick(sub="03", ses="averages"))

    @pytest.mark.parametrize("token", ["01", "ses-01", ["01"], ("ses-01", "01"), 1, "1"])
    def test_spellings_of_one_session(self, token: object) -> None:
        assert pick(ses=token) == pick(session="ses-01")

    def test_a_held_out_session_is_chosen_for_the_plan_to_refuse(self) -> None:
        assert any("ses-31" in key for key in asked(ses="31"))

    def test_a_strict_subject_leaves_out_files_of_no_subject(self) -> None:
        assert {key for key in KEYS if "sub-03" in key} == {
            key
            for key, why in pick(sub="sub-03").items()
            if why not in ("root file", "include_stimuli")
        }


class TestPermissive:
    def test_a_file_without_the_entity_passes(self) -> None:
        chosen = asked(sub="03", ses="01", stat="effect")
        assert f"{BETAS}.nii.gz" in chosen
        assert (
            f"{GLM}/sub-03/ses-01/func/sub-03_ses-01_{T1W}_desc-Noiseceiling_statmap.nii.gz"
            in chosen
        )
        assert not any("stat-rsquare" in key for key in chosen)

    def test_suffix_and_extension_are_strict(self) -> None:
        chosen = asked(sub="03", ses="01", suffix="dseg")
        assert {key.rpartition("_")[2] for key in chosen} == {"dseg.nii.gz", "dseg.json"}
        for extension in ("nii.gz", ".nii.gz"):
            kept = asked(sub="03", ses="01", extension=extension)
            assert len(kept) == 4
            assert all(key.endswith(".nii.gz") for key in kept)

    def test_a_list_takes_any_of_its_values(self) -> None:
        both = asked(desc=["R2", "HRFindex"], suffix=["statmap", "dseg"], extension="nii.gz")
        one = asked(desc="R2", suffix="statmap", extension="nii.gz")
        other = asked(desc="HRFindex", suffix="dseg", extension="nii.gz")
        assert both == one | other
        assert one
        assert other

    def test_the_pages_own_command_selects_the_single_trial_betas(self) -> None:
        filters = {"sub": "sub-03", "ses": "ses-01", "desc": "singletrial", "stat": "effect"}
        selection = select(FILES, query(**filters, extension="nii.gz"), LAION)
        chosen = reasons(selection)
        assert [key for key, why in chosen.items() if why == "asked for"] == [f"{BETAS}.nii.gz"]
        assert chosen[mean_map()] == MEAN
        assert selection.notes == ("desc-singletrial → desc-SingletrialBetas",)
        assert selection.query.get("desc") == ("SingletrialBetas",)

    def test_what_is_strict_is_the_querys_own(self) -> None:
        files = remote(["task-a_x.nii", "sub-01_task-a_x.nii", "sub-02_x.nii"])
        lenient = replace(query(sub="01"), strict=frozenset())
        assert len(select(files, lenient).files) == 2
        strict = replace(query(task="a"), strict=frozenset({"task"}))
        assert len(select(files, strict).files) == 2

    def test_a_query_that_is_not_permissive_excludes_what_lacks_any_entity(self) -> None:
        files = remote(["sub-01_task-a_x.nii", "sub-01_x.nii", "sub-01_task-b_x.nii"])
        assert len(select(files, query(task="a")).files) == 2
        (only,) = select(files, query(task="a").strictly()).files
        assert only.remote.key == "sub-01_task-a_x.nii"


class TestDatatype:
    FILES = remote(
        [
            "dataset_description.json",
            "task-rest_bold.json",
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-01/func/sub-01_task-rest_bold.nii.gz",
            "sub-01/func/figures/R2.png",
            "sub-01/meg/sub-01_meg.ds/sub-01_meg.meg4",
        ]
    )

    def keys(self, **filters: object) -> list[str]:
        selection = select(self.FILES, query(**filters))  # type: ignore[arg-type]
        return [chosen.remote.key for chosen in selection.files]

    def test_it_takes_what_lies_in_a_folder_of_that_name_and_nothing_else(self) -> None:
        assert self.keys(datatype="meg") == ["sub-01/meg/sub-01_meg.ds/sub-01_meg.meg4"]
        assert self.keys(datatype=["anat", "func"]) == [
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-01/func/figures/R2.png",
            "sub-01/func/sub-01_task-rest_bold.nii.gz",
        ]
        assert self.keys(datatype="func", extension="png") == ["sub-01/func/figures/R2.png"]

    def test_the_files_that_come_by_rule_come_along(self) -> None:
        chosen = reasons(select(FILES, query(datatype="func", sub="03", ses="01"), LAION))
        assert chosen[mean_map()] == MEAN
        assert set(ROOT_FILES) < set(chosen)
        asked = {key for key, why in chosen.items() if why == "asked for"}
        assert asked == {key for key in KEYS if "/sub-03/ses-01/func/" in key}

    def test_a_near_one_is_meant(self) -> None:
        selection = select(self.FILES, query(datatype="Fun"))
        assert selection.query.datatype == ("func",)
        assert selection.notes == ("datatype Fun → datatype func",)

    def test_one_that_is_not_there_is_told_with_those_that_are(self) -> None:
        with pytest.raises(UnknownValueError, match=r"datatype perf does not.*anat, func, meg"):
            self.keys(datatype="perf")
        with pytest.raises(UnknownValueError, match="any 'datatype' in its path"):
            select(self.FILES[:2], query(datatype="func"))

    def test_a_contradiction_is_explained(self) -> None:
        with pytest.raises(NothingMatchedError) as caught:
            self.keys(datatype="anat", suffix="bold")
        assert "no file has both suffix bold and datatype anat" in str(caught.value)
        assert "with suffix bold there is datatype: func" in str(caught.value)


class TestCompanions:
    def test_root_files_come_always(self) -> None:
        for filters in ({}, {"ses": "01"}, {"sub": "03", "suffix": "dseg", "extension": "nii.gz"}):
            chosen = pick(**filters)
            assert {key for key, why in chosen.items() if why == "root file"} == set(ROOT_FILES)

    def test_the_mean_map_comes_with_sessions_whatever_the_filters(self) -> None:
        chosen = pick(ses="01", desc="HRFindex", stat="effect", suffix="dseg", extension="nii.gz")
        assert chosen[mean_map("sub-01")] == chosen[mean_map("sub-03")] == MEAN

    def test_the_mean_map_of_another_subject_stays(self) -> None:
        assert mean_map("sub-01") not in pick(sub="03", ses="01")

    def test_the_mean_map_does_not_come_without_sessions(self) -> None:
        assert mean_map() not in pick(desc="HRFindex", suffix="dseg")
        assert mean_map() not in pick(ses="averages", desc="Noiseceiling4rep")

    def test_the_mean_maps_sidecar_comes_unless_the_extension_leaves_it_out(self) -> None:
        sidecar = mean_map(extension=".json")
        why = f"sidecar of {mean_map().rpartition('/')[2]}"
        assert pick(ses="01", suffix="dseg")[sidecar] == why
        assert pick(ses="01", extension=["nii.gz", "json"])[sidecar] == why
        assert sidecar not in pick(ses="01", extension="nii.gz")

    def test_rois_come_under_any_session_but_pass_the_other_filters(self) -> None:
        chosen = pick(sub="03", ses="02")
        assert {key for key, why in chosen.items() if why == ROI} == ROIS
        only = pick(sub="03", ses="02", space="T1w", extension="nii.gz")
        assert {key for key, why in only.items() if why == ROI} == {
            key for key in ROIS if key.endswith(".nii.gz")
        }
        assert not ROIS & set(pick(sub="03", ses="02", suffix="statmap"))

    def test_without_sessions_a_roi_is_a_file_like_others(self) -> None:
        assert ROI not in pick(sub="03").values()

    def test_rois_can_be_asked_for_by_name_with_either_spelling(self) -> None:
        for label in ("FFA-1", "FFA1", "label-FFA1"):
            chosen = {
                k for k, why in pick(ses="01", label=label, suffix="mask").items() if why == ROI
            }
            assert len(chosen) == 4

    def test_a_suffix_brings_the_sidecar_that_the_extension_leaves_out(self) -> None:
        chosen = pick(
            sub="03", ses="01", desc="SingletrialBetas", suffix="statmap", extension="nii.gz"
        )
        assert chosen[f"{BETAS}.json"] == f"sidecar of {BETAS.rpartition('/')[2]}.nii.gz"
        assert [key for key in chosen if key.endswith(".json") and key not in ROOT_FILES] == [
            f"{BETAS}.json"
        ]

    def test_without_a_suffix_no_sidecar_comes_along(self) -> None:
        assert f"{BETAS}.json" not in pick(sub="03", ses="01", extension="nii.gz")

    def test_a_sidecar_that_was_asked_for_is_no_companion(self) -> None:
        assert pick(sub="03", ses="01", suffix="statmap")[f"{BETAS}.json"] == "asked for"

    def test_mirrored_files_do_not_meet_the_filters(self) -> None:
        chosen = pick(sub="03", ses="01", suffix="dseg", extension="nii.gz")
        assert chosen["stimuli/task-images_desc-captions.csv"] == "include_stimuli"

    def test_without_rules_nothing_comes_along(self) -> None:
        wanted = query(sub="03", ses="01", suffix="statmap", extension="nii.gz")
        chosen = reasons(select(FILES, wanted))
        assert set(chosen.values()) == {"asked for"}
        assert all("sub-03_ses-01" in key and key.endswith(".nii.gz") for key in chosen)
        with pytest.raises(UnknownValueError, match="ses-averages does not exist"):
            select(FILES, query(ses="averages"))


class TestNearMisses:
    def test_an_exact_match_wins_over_longer_ones(self) -> None:
        selection = select(FILES, query(desc="R2", ses="01"), LAION)
        assert selection.query.get("desc") == ("R2",)
        assert selection.notes == ()

    def test_case_comes_before_beginnings(self) -> None:
        selection = select(FILES, query(desc=["r2", "NOISECEILING"]), LAION)
        assert selection.query.get("desc") == ("R2", "Noiseceiling")
        assert selection.notes == ("desc-r2 → desc-R2", "desc-NOISECEILING → desc-Noiseceiling")

    def test_suffix_and_extension_too(self) -> None:
        selection = select(FILES, query(suffix="STAT", extension="nii"), LAION)
        assert (selection.query.suffix, selection.query.extension) == (("statmap",), (".nii.gz",))
        assert selection.notes == (
            "suffix STAT → suffix statmap",
            "extension .nii → extension .nii.gz",
        )

    def test_two_near_ones_are_both_listed(self) -> None:
        with pytest.raises(UnknownValueError, match="2 others: Noiseceiling, Noiseceiling4rep"):
            pick(desc="noise")

    def test_none_near_lists_the_nearest_and_all(self) -> None:
        with pytest.raises(UnknownValueError) as caught:
            pick(desc="SingeltrialBetas")
        text = str(caught.value)
        assert "Nearest: SingletrialBetas" in text
        assert "There are: GLMsingle, HRFindex, Noiseceiling" in text

    def test_all_unknown_values_are_in_one_error(self) -> None:
        with pytest.raises(UnknownValueError) as caught:
            pick(sub="09", desc=["R2", "nope"], suffix="nope", extension="doc", run=1)
        text = str(caught.value)
        for part in ("sub-09", "desc-nope", "suffix nope", "extension .doc", "run-1"):
            assert f"{part} does not exist" in text
        assert "no file listed here has any 'run'" in text
        assert "There are: 01, 03" in text

    def test_a_number_is_not_the_beginning_of_another(self) -> None:
        with pytest.raises(UnknownValueError, match="There are: 01, 02, 31"):
            pick(ses="3")
        assert meant("ses", "3", ["03", "30", "31"]) == ("03",)
        with pytest.raises(UnknownValueError, match=r"2 others: 003, 03\."):
            meant("ses", "3", ["03", "003"])

    @pytest.mark.parametrize("number", [1, "1", "01", "001", "run-1", "run-01"])
    def test_an_index_is_a_number(self, number: object) -> None:
        files = remote(
            ["sub-01_run-01_bold.nii", "sub-02_run-1_bold.nii", "sub-01_run-10_bold.nii"]
        )
        selection = select(files, query(run=number))  # type: ignore[arg-type]
        assert len(selection.files) == 2
        assert selection.notes == ()

    def test_what_comes_by_rule_is_not_what_exists(self) -> None:
        with pytest.raises(UnknownValueError) as caught:
            pick(desc="capt")
        assert "captions" not in str(caught.value)
        with pytest.raises(UnknownValueError) as caught:
            pick(suffix="descr")
        assert "description" not in str(caught.value)

    def test_the_name_of_a_figure_is_meant_only_to_the_letter(self) -> None:
        files = remote(["sub-01/figures/design1.png", "sub-01/sub-01_dseg.nii"])
        assert len(select(files, query(suffix="design1")).files) == 1
        assert select(files, query(suffix="d")).query.suffix == ("dseg",)

    def test_many_values_are_shortened(self) -> None:
        text = shorten(map("{:03}".format, range(100)))
        assert "(70 more)" in text
        assert text.endswith("099")

    @given(st.text(max_size=5), st.sets(st.text(min_size=1, max_size=5), max_size=5))
    def test_a_meaning_exists_or_is_an_error(self, value: str, exists: set[str]) -> None:
        try:
            found = meant("desc", value, exists)
        except UnknownValueError:
            assert value not in exists
            return
        assert set(found) <= exists
        assert found == (value,) or value not in exists


class TestNothing:
    def test_contradicting_filters_are_named_with_what_exists(self) -> None:
        with pytest.raises(NothingMatchedError) as caught:
            pick(ses="01", desc="R2", stat="effect")
        text = str(caught.value)
        assert "no file has both desc-R2 and stat-effect" in text
        assert "with desc-R2 there is stat: rsquare" in text
        assert "with stat-effect there is desc: SingletrialBetas" in text
        assert re.search(r"desc-R2 alone leaves \d+ of \d+ files \(12 have it in their names", text)
        assert "ses-01 alone leaves 24 of 92 files" in text
        assert "no file has both ses-01" not in text

    def test_a_suffix_that_no_such_file_has(self) -> None:
        with pytest.raises(
            NothingMatchedError, match="no file has both ses-averages and suffix dseg"
        ):
            pick(ses="averages", suffix="dseg")

    def test_companions_alone_are_not_what_was_asked(self) -> None:
        with pytest.raises(
            NothingMatchedError, match="no file has both ses-01 and desc-Noiseceiling4rep"
        ):
            pick(ses="01", desc="Noiseceiling4rep", suffix="statmap")

    def test_a_strict_query_says_how_many_files_lack_the_entity(self) -> None:
        wanted = query(desc="R2", suffix="trials").strictly()
        with pytest.raises(NothingMatchedError) as caught:
            select(FILES, wanted)
        lacking = sum("desc-" not in key for key in KEYS)
        text = str(caught.value)
        assert f"({lacking} have no desc in their names: --permissive lets them pass)" in text
        assert "the others do not" not in text

    def test_a_session_that_only_another_subject_has(self) -> None:
        files = [
            file for file in FILES if "sub-03_ses-02" not in file.key and "png" not in file.key
        ]
        with pytest.raises(NothingMatchedError, match="no file has both sub-03 and ses-02"):
            select(files, query(sub="03", ses="02"), LAION)

    def test_a_companion_that_was_asked_for_by_name_counts(self) -> None:
        chosen = pick(sub="03", ses="01", desc="R2mean", suffix="statmap", extension="nii.gz")
        assert {key for key in chosen if key.startswith(GLM)} == {mean_map()}

    def test_files_that_only_lack_the_entity_come_with_a_note(self) -> None:
        files = [
            file for file in FILES if "ses-02_task-images_space-T1w_stat-effect" not in file.key
        ]
        selection = select(files, query(sub="03", ses="02", stat="effect"), LAION)
        (note,) = selection.notes
        assert "no file has stat-effect together with the other filters" in note
        assert selection.files

    def test_globs_that_leave_nothing(self) -> None:
        with pytest.raises(NothingMatchedError, match=r"include \*\.xyz alone leaves 0 of"):
            pick(include="*.xyz")
        with pytest.raises(NothingMatchedError, match="leave out all"):
            pick(exclude="**")

    def test_an_empty_listing(self) -> None:
        with pytest.raises(NothingMatchedError, match="lists no file"):
            select([], query(), LAION)
        with pytest.raises(NothingMatchedError, match="lists no file"):
            select(remote(ROOT_FILES), query(), LAION)


class TestGlobs:
    @pytest.mark.parametrize(
        ("glob", "hits"),
        [
            ("*.json", {"a.json", "x/a.json", "x/y/b.json"}),
            ("/*.json", {"a.json"}),
            ("x/*", {"x/a.json", "x/c.tsv", "x/y/b.json"}),
            ("/x/*.json", {"x/a.json"}),
            ("x", {"x/a.json", "x/c.tsv", "x/y/b.json"}),
            ("x/**", {"x/a.json", "x/c.tsv", "x/y/b.json"}),
            ("x/", {"x/a.json", "x/c.tsv", "x/y/b.json"}),
            ("**/*.json", {"a.json", "x/a.json", "x/y/b.json"}),
            ("x/**/*.json", {"x/a.json", "x/y/b.json"}),
            ("**", {"a.json", "x/a.json", "x/c.tsv", "x/y/b.json", "[1].txt"}),
            ("?.json", {"a.json", "x/a.json", "x/y/b.json"}),
            ("[!a].json", {"x/y/b.json"}),
            ("[ab].json", {"a.json", "x/a.json", "x/y/b.json"}),
            ("x[!b]a.json", set()),
            ("[[]1[]].txt", {"[1].txt"}),
            ("[1].txt", set()),
            ("A.json", set()),
            ("a.jso", set()),
        ],
    )
    def test_patterns(self, glob: str, hits: set[str]) -> None:
        names = ["a.json", "x/a.json", "x/c.tsv", "x/y/b.json", "[1].txt"]
        test = glob_test([glob])
        assert {name for name in names if test(name)} == hits

    @given(st.text(max_size=8), st.text(max_size=8))
    def test_a_text_without_wildcards_matches_itself_alone(self, text: str, other: str) -> None:
        assume(text.strip(".") and not set(text) & set("*?[/{"))
        test = glob_test([text])
        assert test(text)
        assert bool(test(other)) == (text in other.split("/"))

    def test_globs_are_relative_to_the_prefix(self) -> None:
        files = remote(["ds/1/sub-01/a.nii", "ds/1/README", "ds/1/sub-01/b.nii"])
        wanted = query(include="/sub-01/a*")
        for base in ("ds/1", "ds/1/"):
            assert len(select(files, wanted, base=base).files) == 1
        chosen = select(files, wanted, Rules(root_files=("README",)), base="ds/1")
        assert [file.why for file in chosen.files] == ["root file", "asked for"]

    def test_an_exclude_drops_even_companions(self) -> None:
        chosen = pick(sub="03", ses="01", exclude=["*R2mean*", "README"])
        assert not {mean_map(), mean_map(extension=".json"), "README"} & set(chosen)
        chosen = pick(sub="03", ses="01", suffix="statmap", extension="nii.gz", exclude="*.json")
        assert not any(key.endswith(".json") for key in chosen)

    def test_a_glob_that_matches_nothing_is_noted(self) -> None:
        wanted = query(include=["*.json", "*.jsno"], exclude=["*_dseg.*", "*_desg.*"])
        notes = select(FILES, wanted, LAION).notes
        assert [note.partition(". ")[0] for note in notes] == [
            "include *.jsno matches no file",
            "exclude *_desg.* matches no file",
        ]

    def test_companions_need_no_include(self) -> None:
        assert pick(sub="03", ses="01", include="*_dseg.*")[mean_map()] == MEAN


class TestQuery:
    def test_everything_is_normalised(self) -> None:
        made = query(
            subject="sub-03",
            session=["ses-01", "01", " 02 "],
            run=1,
            acquisition=None,
            suffix="bold",
            extension=["nii.gz", ".nii.gz", "json"],
            include="*.x",
        )
        assert made == Query(
            entities=(("sub", ("03",)), ("ses", ("01", "02")), ("run", ("1",))),
            suffix=("bold",),
            extension=(".nii.gz", ".json"),
            include=("*.x",),
        )
        assert made.get("ses") == ("01", "02")
        assert made.get("echo") == ()
        assert query() == Query()

    @pytest.mark.parametrize(
        "argument", ["ses", "suffix", "extension", "datatype", "include", "exclude"]
    )
    @pytest.mark.parametrize(
        "value", ["", "  ", [], [""], True, 1.5, b"x", {"01": 1}, ["01", None], -1]
    )
    def test_what_cannot_be_used_names_its_argument(self, argument: str, value: object) -> None:
        with pytest.raises(UsageError, match=rf"\b{argument}\b"):
            query(**{argument: value})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("filters", "words"),
        [
            ({"ses": "ses-"}, "ses is empty"),
            ({"extension": "."}, "only a dot"),
            ({"sub": "01", "subject": "02"}, "the same entity"),
            ({"include": ["a", "*.nii"], "exclude": "*.nii"}, r"both name '\*\.nii'"),
            ({"include": "[z-a]"}, "malformed glob"),
        ],
    )
    def test_contradictions_are_found_without_any_file(
        self, filters: dict[str, object], words: str
    ) -> None:
        with pytest.raises(UsageError, match=words):
            query(**filters)  # type: ignore[arg-type]

    def test_all_problems_are_told_at_once(self) -> None:
        with pytest.raises(UsageError) as caught:
            query(ses="", run=True, suffix=[])
        assert all(word in str(caught.value) for word in ("ses", "run", "suffix"))


VALUES: dict[str, list[str]] = {
    "sub": ["01", "03"],
    "ses": ["01", "02", "31", "averages"],
    "desc": ["R2", "R2mean", "SingletrialBetas", "Noiseceiling4rep"],
    "stat": ["effect", "rsquare"],
    "space": ["T1w", "fsnative"],
    "suffix": ["statmap", "mask", "dseg", "R2"],
    "extension": [".nii.gz", ".json", ".png"],
    "datatype": ["func"],
    "exclude": ["*.png", "derivatives/rois/**"],
}
filters = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(st.sampled_from(values), min_size=1, unique=True)
        for name, values in VALUES.items()
    },
)
rules = st.sampled_from([LAION, Rules(averages="averages")])


def chosen_by(wanted: dict[str, list[str]], files: list[RemoteFile], by: Rules) -> list[RemoteFile]:
    return [chosen.remote for chosen in choose(files, query(**wanted), by)]


class TestAlgebra:
    @given(filters, rules)
    def test_choosing_again_changes_nothing(self, wanted: dict[str, list[str]], by: Rules) -> None:
        once = choose(FILES, query(**wanted), by)
        assert choose([chosen.remote for chosen in once], query(**wanted), by) == once

    @given(filters, rules, st.randoms(use_true_random=False))
    def test_the_order_of_the_listing_does_not_count(
        self, wanted: dict[str, list[str]], by: Rules, dice: random.Random
    ) -> None:
        shuffled = FILES + FILES[:5]
        dice.shuffle(shuffled)
        assert choose(shuffled, query(**wanted), by) == choose(FILES, query(**wanted), by)

    @given(filters, rules, st.data())
    def test_one_more_value_never_drops_a_file(
        self, wanted: dict[str, list[str]], by: Rules, data: st.DataObject
    ) -> None:
        growing = [name for name in wanted if name != "exclude"]
        assume(growing)
        name = data.draw(st.sampled_from(growing))
        more = {**wanted, name: [*wanted[name], data.draw(st.sampled_from(VALUES[name]))]}
        assert set(chosen_by(wanted, FILES, by)) <= set(chosen_by(more, FILES, by))

    @given(filters, rules)
    def test_select_is_choose_of_what_was_resolved(
        self, wanted: dict[str, list[str]], by: Rules
    ) -> None:
        asked_for = query(**wanted)
        try:
            selection = select(FILES, asked_for, by)
        except NothingMatchedError:
            return
        assert selection.query == resolve(FILES, asked_for, by)[0] == asked_for
        assert selection.files == choose(FILES, asked_for, by)
        keys = [chosen.remote.key for chosen in selection.files]
        assert keys == sorted(keys)

    @given(filters)
    def test_every_file_asked_for_passes_every_filter(self, wanted: dict[str, list[str]]) -> None:
        for remote_file, why in choose(FILES, query(**wanted), LAION):
            if why != "asked for":
                continue
            for entity in ("sub", "ses", "desc", "stat", "space"):
                found = re.search(rf"[_/]{entity}-([^_./]+)", remote_file.key)
                accepted = wanted.get(entity)
                if accepted and found:
                    assert found[1] in accepted
                elif accepted and entity == "ses":
                    assert "averages" in accepted
                elif accepted:
                    assert entity != "sub"
