"""The types of the server's records; records, dates, ids and addresses brought into one form.

Every value in a record comes from the server or from an uploader. The types below say what the
server's own code puts there; where a wrong value would do harm, it is looked at before it is used.
A record may hold more keys than these: uploaders add keys of their own. Type checkers let you read
such a key with ``record.get("key")``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime
from numbers import Real
from operator import index
from typing import Generic, Required, TypedDict, TypeVar, cast
from urllib.parse import urljoin, urlsplit, urlunsplit

from neurofetch.errors import UsageError

__all__ = [
    "COLLECTION_TOKEN",
    "IMAGE_TOKEN",
    "CollectionRecord",
    "ImageRecord",
    "ListPage",
    "LocalCollectionRecord",
    "LocalImageRecord",
    "Record",
    "WordWeights",
    "as_time",
    "clean",
    "ids_and_tokens",
    "is_newer",
    "normal_ids",
    "says_nothing",
    "server_url",
]

WordWeights = dict[str, float]
"""Neurosynth's words for one image, with the weight of each."""

_Text = str | None
_Number = float | None
_Flag = bool | None


class Record(TypedDict, total=False):
    """What the records of images and collections have in common.

    Text that says nothing ("", "n/a", …) is None after `clean`. Dates are text, in UTC or with an
    offset: `as_time` reads them.
    """

    id: Required[int]
    url: Required[_Text]
    name: Required[_Text]
    description: Required[_Text]
    add_date: Required[_Text]
    modify_date: Required[_Text]
    handedness: _Text


class ImageRecord(Record, total=False):
    """What NeuroVault knows of one image; not every kind of image has all of it."""

    collection: Required[_Text]
    collection_id: Required[int]
    file: Required[_Text]
    file_size: Required[int | None]
    map_type: Required[_Text]
    image_type: Required[_Text]
    target_template_image: Required[_Text]
    modality: _Text
    analysis_level: _Text
    is_valid: _Flag
    is_thresholded: Required[_Flag]
    not_mni: Required[_Flag]
    perc_bad_voxels: _Number
    perc_voxels_outside: _Number
    brain_coverage: _Number
    number_of_subjects: int | None
    cognitive_paradigm_cogatlas: Required[_Text]
    cognitive_paradigm_cogatlas_id: _Text
    cognitive_contrast_cogatlas: _Text
    cognitive_contrast_cogatlas_id: _Text
    cognitive_paradigm_description_url: _Text
    cognitive_paradigm_name: _Text
    cognitive_paradigm_short_description: _Text
    label_description_file: _Text
    nidm_results: _Text
    contrast_definition: _Text
    contrast_definition_cogatlas: _Text
    statistic_parameters: _Number
    smoothness_fwhm: _Number
    data_origin: _Text
    subject_species: _Text
    figure: _Text
    thumbnail: _Text
    reduced_representation: _Text
    surface_left_file: _Text
    surface_right_file: _Text
    age: _Number
    gender: _Text
    sex: _Text
    race: _Text
    ethnicity: _Text
    BMI: _Number
    fat_percentage: _Number
    waist_hip_ratio: _Number
    mean_PDS_score: _Number
    tanner_stage: _Text
    days_since_menstruation: _Number
    hours_since_last_meal: _Number
    bis_bas_score: _Number
    spsrq_score: _Number
    bis11_score: _Number


class CollectionRecord(Record, total=False):
    """What NeuroVault knows of one collection.

    Its form asks for the lengths of runs, blocks and trials in seconds, for repetition and echo
    times in milliseconds, for distances in millimetres.
    """

    DOI: Required[_Text]
    preprint_DOI: _Text
    authors: _Text
    journal_name: _Text
    paper_url: _Text
    full_dataset_url: _Text
    download_url: _Text
    owner: Required[int | None]
    owner_name: _Text
    contributors: _Text
    communities: list[object]
    private: Required[bool]
    number_of_images: Required[int]
    doi_add_date: _Text
    type_of_design: _Text
    number_of_imaging_runs: int | None
    number_of_experimental_units: int | None
    length_of_runs: _Number
    length_of_blocks: _Number
    length_of_trials: _Text
    optimization: _Flag
    optimization_method: _Text
    subject_age_mean: _Number
    subject_age_min: _Number
    subject_age_max: _Number
    proportion_male_subjects: _Number
    inclusion_exclusion_criteria: _Text
    number_of_rejected_subjects: int | None
    group_comparison: _Flag
    group_description: _Text
    scanner_make: _Text
    scanner_model: _Text
    field_strength: _Number
    pulse_sequence: _Text
    parallel_imaging: _Text
    field_of_view: _Number
    matrix_size: int | None
    slice_thickness: _Number
    skip_distance: _Number
    acquisition_orientation: _Text
    order_of_acquisition: _Text
    repetition_time: _Number
    echo_time: _Number
    flip_angle: _Number
    software_package: _Text
    software_version: _Text
    order_of_preprocessing_operations: _Text
    quality_control: _Text
    used_b0_unwarping: _Flag
    b0_unwarping_software: _Text
    used_slice_timing_correction: _Flag
    slice_timing_correction_software: _Text
    used_motion_correction: _Flag
    motion_correction_software: _Text
    motion_correction_reference: _Text
    motion_correction_metric: _Text
    motion_correction_interpolation: _Text
    used_motion_susceptibiity_correction: _Flag  # the server's own spelling
    used_intersubject_registration: _Flag
    intersubject_registration_software: _Text
    intersubject_transformation_type: _Text
    nonlinear_transform_type: _Text
    transform_similarity_metric: _Text
    interpolation_method: _Text
    object_image_type: _Text
    functional_coregistered_to_structural: _Flag
    functional_coregistration_method: _Text
    coordinate_space: _Text
    target_template_image: _Text
    target_resolution: _Number
    used_smoothing: _Flag
    smoothing_type: _Text
    smoothing_fwhm: _Number
    resampled_voxel_size: _Number
    intrasubject_model_type: _Text
    intrasubject_estimation_type: _Text
    intrasubject_modeling_software: _Text
    hemodynamic_response_function: _Text
    used_temporal_derivatives: _Flag
    used_dispersion_derivatives: _Flag
    used_motion_regressors: _Flag
    used_reaction_time_regressor: _Flag
    used_orthogonalization: _Flag
    orthogonalization_description: _Text
    used_high_pass_filter: _Flag
    high_pass_filter_method: _Text
    autocorrelation_model: _Text
    group_model_type: _Text
    group_estimation_type: _Text
    group_modeling_software: _Text
    group_inference_type: _Text
    group_model_multilevel: _Text
    group_repeated_measures: _Flag
    group_repeated_measures_method: _Text
    nutbrain_hunger_state: _Text
    nutbrain_food_viewing_conditions: _Text
    nutbrain_food_choice_type: _Text
    nutbrain_taste_conditions: _Text
    nutbrain_odor_conditions: _Text


class LocalImageRecord(ImageRecord, total=False):
    """An image's record in the cache: with the paths of its files on this disk."""

    relative_path: Required[str]
    absolute_path: Required[str]
    resampled_relative_path: Required[str]
    resampled_absolute_path: Required[str]
    ns_words_relative_path: str
    ns_words_absolute_path: str


class LocalCollectionRecord(CollectionRecord):
    """A collection's record in the cache: with the path of its folder on this disk."""

    relative_path: str
    absolute_path: str


_Row = TypeVar("_Row", bound=Record)
_AnyRecord = TypeVar("_AnyRecord", bound=Mapping[str, object])


class ListPage(TypedDict, Generic[_Row], total=False):
    """One page of a list, as the API gives it."""

    count: int
    next: _Text
    previous: _Text
    results: list[_Row]


# Texts by which uploaders, and the server's own list of choices, say that nothing is known. Only a
# whole text counts: "None of the voxels survived" says something.
_NULL_WORDS = frozenset({"", "n/a", "na", "none", "null", "none / other"})
_NULL_LENGTH = max(map(len, _NULL_WORDS))
_DATED = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d|$)")
COLLECTION_TOKEN = re.compile(r"[A-Z]{8}")
IMAGE_TOKEN = re.compile(r"[A-Z]{8}-[0-9]{1,18}")
"""What stands for an id in the addresses of a private collection and of its images."""
_SHOWN = 5  # wrong ids that a message lists


def clean(record: _AnyRecord) -> _AnyRecord:
    """Return a copy of a server's record in which text that says nothing is None.

    Such text is empty, or is ``n/a``, ``na``, ``none``, ``null`` or ``None / Other`` and nothing
    else, in any case. Text that only begins so is kept.

    Examples
    --------
    >>> clean({"id": 7, "DOI": "N/A", "name": "None of the voxels", "authors": ""})
    {'id': 7, 'DOI': None, 'name': 'None of the voxels', 'authors': None}
    """
    cleaned = {key: None if says_nothing(value) else value for key, value in record.items()}
    return cast("_AnyRecord", cleaned)  # the same keys, and None wherever text may be


def says_nothing(value: object) -> bool:
    """Say whether a value is text that `clean` makes None."""
    if not isinstance(value, str):
        return False
    bare = value.strip()
    return len(bare) <= _NULL_LENGTH and bare.lower() in _NULL_WORDS


def as_time(value: object) -> datetime | None:
    """Read a record's date as a time in UTC; None for what is not a date.

    A date without a zone is taken as UTC, a day without an hour as its midnight.

    Examples
    --------
    >>> as_time("2016-01-21T18:22:58.807468+01:00")
    datetime.datetime(2016, 1, 21, 17, 22, 58, 807468, tzinfo=datetime.timezone.utc)
    >>> as_time("yesterday") is None
    True
    """
    if isinstance(value, str):
        if not _DATED.match(value):
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:  # the last hours of the year 9999
        return None


def is_newer(record: Mapping[str, object], than: Mapping[str, object]) -> bool:
    """Say whether `record` was modified after another version of it.

    A version without a readable ``modify_date`` counts as older than one that has it.

    Examples
    --------
    >>> ours = {"modify_date": "2016-01-27T22:59:40+01:00"}
    >>> is_newer({"modify_date": "2016-01-27T21:59:40Z"}, than=ours)
    False
    """
    mine, other = as_time(record.get("modify_date")), as_time(than.get("modify_date"))
    return mine is not None and (other is None or mine > other)


def normal_ids(values: object, name: str = "ids") -> tuple[int, ...]:
    """Return ids as a tuple of unique ints in the order given.

    Parameters
    ----------
    values : int, str or iterable of them, or None
        Ints of any kind (NumPy's too), text of digits, whole floats as pandas makes them; an
        array of any shape, a range, a generator; a set, which comes out sorted; one id alone.
    name : str
        The argument's name, for the error.

    Raises
    ------
    UsageError
        When something is not an id; it names what and where.

    Examples
    --------
    >>> normal_ids([1952, "32015", 1952])
    (1952, 32015)
    >>> normal_ids(1952)
    (1952,)
    """
    good, wrong = _sorted_out(values, name, None)
    if wrong:
        raise UsageError(_wrong_ids(name, wrong, len(good)))
    numbers = [number for number in good if isinstance(number, int)]
    return tuple(sorted(numbers)) if isinstance(values, Set) else tuple(numbers)


def ids_and_tokens(values: object, name: str, token: re.Pattern[str]) -> tuple[int | str, ...]:
    """Return ids as `normal_ids` does, and beside them what names a private collection or image.

    Parameters
    ----------
    values, name
        As for `normal_ids`.
    token : re.Pattern
        `COLLECTION_TOKEN` or `IMAGE_TOKEN`.

    Raises
    ------
    UsageError
        When something is neither.

    Examples
    --------
    >>> ids_and_tokens([1952, "GFKZKPAQ"], "collection_ids", COLLECTION_TOKEN)
    (1952, 'GFKZKPAQ')
    """
    good, wrong = _sorted_out(values, name, token)
    if wrong:
        raise UsageError(_wrong_ids(name, wrong, len(good)))
    in_order = sorted(good, key=lambda one: (isinstance(one, str), one))
    return tuple(in_order if isinstance(values, Set) else good)


def _sorted_out(
    values: object, name: str, token: re.Pattern[str] | None
) -> tuple[dict[int | str, None], list[str]]:
    """Return the ids among some values, each once, and in words what is none."""
    good: dict[int | str, None] = {}
    wrong: list[str] = []
    for place, value in enumerate(_items(values, name)):
        number = _id(value)
        if number is not None:
            good[number] = None
        elif token is not None and isinstance(value, str) and token.fullmatch(value.strip()):
            good[value.strip()] = None
        else:
            wrong.append(f"{value!r} (number {place + 1})")
    return good, wrong


def _items(values: object, name: str) -> Iterable[object]:
    if values is None:
        return ()
    if isinstance(values, str | bytes | Real):
        return (values,)
    if hasattr(values, "__array__") and hasattr(values, "ravel"):
        return list(values.ravel())
    if not isinstance(values, Iterable):
        raise UsageError(f"{name} must be ids or a collection of ids, not {values!r}.")
    return values


def _id(value: object) -> int | None:
    """Return one id, None for what is not one (a truth value is not)."""
    if isinstance(value, str):
        bare = value.strip()
        number = int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 20 else 0
    elif isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return None
    elif isinstance(value, Real) and float(value).is_integer():
        number = int(float(value))
    else:
        try:
            number = index(value)  # type: ignore[arg-type]  # that is the question
        except TypeError:
            return None
    return number if number > 0 else None


def _wrong_ids(name: str, wrong: list[str], good: int) -> str:
    shown = ", ".join(wrong[:_SHOWN]) + (", …" if len(wrong) > _SHOWN else "")
    return (
        f"{name}: {len(wrong)} of {len(wrong) + good} are not ids: {shown}. An id is a whole "
        "number above zero, as in the address https://neurovault.org/collections/1952/. "
        "Nothing was fetched."
    )


def server_url(url: str, api_url: str) -> str:
    """Return an address from a record in the form in which to ask for it.

    The server writes ``http://`` into its records and redirects each such request. When the API is
    asked by https, addresses on its own host become https at once. An address without a host is
    completed. An address on another host stays as it is.

    Examples
    --------
    >>> api = "https://neurovault.org/api/"
    >>> server_url("http://neurovault.org/media/images/658/a%20b.nii.gz", api)
    'https://neurovault.org/media/images/658/a%20b.nii.gz'
    >>> server_url("http://mirror.org/a.nii.gz", api)
    'http://mirror.org/a.nii.gz'
    """
    base, parts = urlsplit(api_url), urlsplit(urljoin(api_url, url))
    own = parts.hostname == base.hostname and parts.port in (None, 80, base.port)
    if parts.scheme == "http" and base.scheme == "https" and own:
        parts = parts._replace(scheme="https", netloc=base.netloc)
    return urlunsplit(parts)
