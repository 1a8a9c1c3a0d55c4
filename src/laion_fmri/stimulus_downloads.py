"""Fetch what lies beside the brain data: pictures, embeddings, segmentations, captions.

Each function plans, fetches what is missing, verifies it, and returns the paths; run again, it
moves nothing. `laion_fmri.download` has the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laion_fmri._dataset import DATASET, GATED
from laion_fmri._license import can_ask, check_permission, require_license
from laion_fmri._models import AVAILABLE_MODELS, embedding_key, embedding_models
from laion_fmri.access.gated_files import StimuliSource
from laion_fmri.access.request_id import keep_new_id, known_id
from laion_fmri.access.service import ASK, Service
from laion_fmri.config import chosen_directory
from laion_fmri.errors import (
    AccessError,
    NotInBucketError,
    TermsNotAcceptedError,
    UnknownRequestError,
)
from neurofetch import console
from neurofetch.engine import (
    Client,
    Fetcher,
    ListedSource,
    Listing,
    Network,
    RunSettings,
    Selection,
    plan_summary,
    warn_of_notes,
)
from neurofetch.errors import UsageError
from neurofetch.model import Action, RemoteFile, Want

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from neurofetch.engine import Attempts, DataDirectory, Source
    from neurofetch.events import Event
    from neurofetch.model import Plan

    Progress = str | bool | Callable[[Event], None] | None

__all__ = [
    "download_captions",
    "download_embeddings",
    "download_segmentations",
    "download_stimuli",
    "plan_embeddings",
    "request_stimulus_access",
]

_BASE = "stimuli/task-images_desc-"
_SEGMENTATIONS = (f"{_BASE}segmentations.h5", f"{_BASE}segmentations_metadata.csv")
_CAPTIONS = f"{_BASE}captions.csv"
_LEAST_PURPOSE = 20
_QUESTIONS = (
    ("name", "Full name"),
    ("email", "Institutional email"),
    ("institution", "Institution"),
    ("pi_or_supervisor", "PI or supervisor (may be left out)"),
    ("research_purpose", f"What the pictures are for ({_LEAST_PURPOSE} characters or more)"),
)


# -- public files ----------------------------------------------------------------------------


def download_embeddings(
    models: str | Sequence[str] = "all",
    data_dir: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    *,
    progress: Progress = None,
    accept_license: str | None = None,
) -> dict[str, Path]:
    """Fetch the embeddings of one or more models.

    Parameters
    ----------
    models : str or sequence of str
        A label such as ``"CLIP"``, several of them, or ``"all"``.
    data_dir : path, optional
        By default the one that was configured.
    n_jobs : int
        Large files in flight.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress; a callable gets every event.
    accept_license : str, optional
        ``"CC0-1.0"``: accept the licence of the data by its name, where nobody can be asked.

    Returns
    -------
    dict of str to pathlib.Path
        The file of each model that was asked for.

    Raises
    ------
    UnknownValueError
        If there is no such model (a ``ValueError``); before anything is asked.
    LicenseNotAcceptedError
        If the licence was not accepted.
    NotInBucketError
        If the bucket lacks a file (a ``RuntimeError``).
    IncompleteError
        At the end, when a file did not come; the rest did.
    """
    labels = _labels(models)
    keys = {model: embedding_key(model) for model in labels}
    settings = RunSettings.checked(n_jobs=n_jobs, progress=progress)
    what = f"the embeddings of {', '.join(labels)}"
    paths = _fetch(what, keys.values(), data_dir, settings, accept_license)
    return {model: paths[key] for model, key in keys.items()}


def plan_embeddings(
    models: str | Sequence[str] = "all", data_dir: str | os.PathLike[str] | None = None
) -> Plan:
    """Return what `download_embeddings` would do; nothing is fetched.

    Parameters
    ----------
    models : str or sequence of str
        As there.
    data_dir : path, optional
        By default the one that was configured.
    """
    keys = [embedding_key(model) for model in _labels(models)]
    settings = RunSettings.checked(dry_run=True)
    with Fetcher(DATASET, chosen_directory(data_dir), network=settings.network) as fetcher:
        return fetcher.prepare(lambda: _selected(fetcher, keys), settings)


def _labels(models: object) -> tuple[str, ...]:
    labels = embedding_models(models)
    if not labels:
        known = ", ".join(AVAILABLE_MODELS)
        raise UsageError(f"models={models!r} names no model. There are {known}, or 'all'.")
    return labels


def download_segmentations(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    progress: Progress = None,
    accept_license: str | None = None,
) -> dict[str, Path]:
    """Fetch the segmentations of the stimuli, and their table.

    Parameters
    ----------
    data_dir : path, optional
        By default the one that was configured.
    progress, accept_license
        As in `download_embeddings`.

    Returns
    -------
    dict of str to pathlib.Path
        ``"h5"`` and ``"metadata"``.
    """
    settings = RunSettings.checked(progress=progress)
    paths = _fetch("the segmentations", _SEGMENTATIONS, data_dir, settings, accept_license)
    return dict(zip(("h5", "metadata"), (paths[key] for key in _SEGMENTATIONS), strict=True))


def download_captions(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    progress: Progress = None,
    accept_license: str | None = None,
) -> Path:
    """Fetch the captions of the stimuli.

    Parameters
    ----------
    data_dir : path, optional
        By default the one that was configured.
    progress, accept_license
        As in `download_embeddings`.

    Returns
    -------
    pathlib.Path
    """
    settings = RunSettings.checked(progress=progress)
    return _fetch("the captions", [_CAPTIONS], data_dir, settings, accept_license)[_CAPTIONS]


def _fetch(
    what: str,
    keys: Iterable[str],
    data_dir: str | os.PathLike[str] | None,
    settings: RunSettings,
    accept_license: str | None,
) -> dict[str, Path]:
    """Fetch files of the bucket by their keys; return their paths by key."""
    wanted = list(keys)
    root = chosen_directory(data_dir)
    with Fetcher(DATASET, root, network=settings.network) as fetcher:
        check_permission(fetcher.directory, accept_license)
        plan = fetcher.prepare(lambda: _selected(fetcher, wanted), settings)
        warn_of_notes(plan, stacklevel=4)
        fetcher.run(
            plan,
            settings,
            permit=lambda: require_license(root, accept_license, plan_summary(plan)),
            stacklevel=4,
        )
    _say(f"{what}: {'fetched to' if plan.moving else 'up to date in'} {root / 'stimuli'}")
    return {step.want.remote.key: root / step.want.path for step in plan.steps}


def _selected(fetcher: Fetcher, keys: list[str]) -> Selection:
    """List these keys and no others, and want each of them."""
    found = {file.key: file for file in fetcher.files(Listing(walks=tuple(keys)))}
    absent = [key for key in keys if key not in found]
    if absent:
        msg = f"{fetcher.source.name} lacks {', '.join(absent)}. Nothing was fetched."
        raise NotInBucketError(msg)
    return _wants(fetcher, [found[key] for key in keys])


def _wants(fetcher: Fetcher, files: Iterable[RemoteFile]) -> Selection:
    wants = []
    for file in files:
        path, problem = fetcher.dataset.place(file.key)
        wants.append(Want(file, path, problem=problem))
    return Selection(tuple(wants), ())


def _say(text: str) -> None:
    console.say(f"[laion-fmri] {text}")


# -- gated files -----------------------------------------------------------------------------


def download_stimuli(
    data_dir: str | os.PathLike[str] | None = None,
    server_url: str | None = None,
    *,
    progress: Progress = None,
) -> dict[str, Path]:
    """Fetch the stimulus pictures and their table from the access service.

    What is here with the sha256 of the service's list is kept, and needs no access. For the rest,
    the request id is used that is in ``LAION_FMRI_REQUEST_ID`` or was kept; without one, you are
    asked to fill in the form, at a terminal or in a notebook.

    Parameters
    ----------
    data_dir : path, optional
        By default the one that was configured.
    server_url : str, optional
        The access service; by default ``LAION_FMRI_ACCESS_URL``, or that of the owners.
    progress : {"auto", "bar", "lines", "json", "none"}, bool or callable, optional
        How to show progress; a callable gets every event.

    Returns
    -------
    dict of str to pathlib.Path
        The path of each file, by its name.

    Raises
    ------
    AccessError
        If the service cannot be reached, or refuses (a ``RuntimeError``).
    IncompleteError
        At the end, when a file did not come (a ``RuntimeError``); what came is kept.
    """
    root, settings = chosen_directory(data_dir), RunSettings.checked(progress=progress)
    paths, error = _fetch_gated(root, server_url, settings)
    if error is None:
        return paths
    if not can_ask() or not isinstance(error, _NoIdError | UnknownRequestError):
        raise error
    _say(str(error))
    request_stimulus_access(server_url)
    paths, error = _fetch_gated(root, server_url, settings)
    if error is not None:
        raise error
    return paths


class _NoIdError(AccessError):
    """There is no request id, and a file has to be fetched."""


def _fetch_gated(
    root: Path, url: str | None, settings: RunSettings
) -> tuple[dict[str, Path], Exception | None]:
    """Fetch what is missing; return the paths, or why nothing can be asked for."""
    made: list[StimuliSource] = []

    def source(client: Client, attempts: Attempts, directory: DataDirectory) -> Source:
        # What is gated, for a service that cannot say so itself: what is here is kept then.
        gated = [RemoteFile(key, f"https://example.invalid/{key}", None) for key in GATED]
        known = ListedSource(gated, "the access service")
        made.append(
            StimuliSource(
                known, client, directory, DATASET.path, stop=attempts.stop, url=url, ask=True
            )
        )
        return made[0]

    with Fetcher(DATASET, root, network=settings.network, make_source=source) as fetcher:

        def choose() -> Selection:
            files = fetcher.source.walk("stimuli/")
            told = [file for file in files if file.digest is not None]
            return _wants(fetcher, told if made[0].error is None else files)

        plan = fetcher.prepare(choose, settings)
        error = made[0].error
        if not plan.steps or any(step.action is not Action.KEEP for step in plan.steps):
            if error is not None:
                return {}, error
            if known_id() is None:
                msg = f"the stimulus pictures are gated by a data use agreement. Ask once: {ASK}"
                return {}, _NoIdError(msg)
        fetcher.run(plan, settings, stacklevel=4)
    if error is not None:  # it has no list: what is here is kept unseen
        state = f"kept as they are, since the access service gave no list ({error}), in"
    else:
        state = "fetched to" if plan.moving else "up to date in"
    _say(f"the stimulus pictures: {state} {root / 'stimuli'}")
    paths = [root / step.want.path for step in plan.steps]
    return {path.name: path for path in paths}, None


class _Answer(dict[str, Any]):
    """The answer of the service, which notebooks print: without what only its owner may see."""

    def __repr__(self) -> str:
        names = [str(file.get("name")) for file in self.get("files", [])]
        until = self.get("expires_at")
        return f"{{'request_id': '(hidden)', 'expires_at': {until!r}, 'files': {names!r}}}"


def request_stimulus_access(server_url: str | None = None) -> dict[str, Any]:
    """Ask five questions, and for your consent; send the form, and keep the id that comes back.

    In scripts, use `laion_fmri.stimuli.request_access`, which takes the answers as arguments.

    Parameters
    ----------
    server_url : str, optional
        The access service; by default ``LAION_FMRI_ACCESS_URL``, or that of the owners.

    Returns
    -------
    dict
        The service's answer: ``request_id``, ``expires_at``, ``files``. It is printed without the
        id and the addresses.

    Raises
    ------
    TermsNotAcceptedError
        If the terms were not accepted; nothing was sent.
    AccessError
        If an answer is missing, or the service cannot be reached or refuses (a ``RuntimeError``).
    """
    with Client(Network.from_environment()) as client:
        service = Service(client, url=server_url)
        version = service.manifest().terms_version
        console.say(
            f"The stimulus pictures have terms of their own, version {version}:\n"
            f"  {service.terms_url}\nWhat happens to your answers:\n  {service.privacy_url}"
        )
        form: dict[str, object] = {}
        for field, question in _QUESTIONS:
            form[field] = _answer(question)
        _check_form(form)
        form["pi_or_supervisor"] = form["pi_or_supervisor"] or None
        _check_consent(version)
        consent = {
            "accepted_terms": True,
            "acknowledged_privacy": True,
            "terms_version": version,
            "source": "cli",
        }
        answers: list[dict[str, Any]] = []

        def ask() -> str:
            try:
                answers.append(service.apply({**form, **consent}))
            except UsageError as error:
                raise AccessError(str(error)) from error
            return str(answers[0]["request_id"])

        known = keep_new_id(ask, service.url)
        _say(f"access was granted; the request id is kept in {known.where}")
        return _Answer(answers[0])


def _answer(question: str) -> str:
    # Not the prompt of input(): it goes to stdout, which is for data.
    console.say(f"{question}: ", end="")
    try:
        return input().strip()
    except (EOFError, OSError) as error:  # OSError: pytest and some batch systems close stdin
        console.say("")
        msg = f"there was no answer to {question!r}. Nothing was sent. Ask for access with: {ASK}"
        raise AccessError(msg) from error


def _check_form(form: dict[str, object]) -> None:
    missing = [field for field, text in form.items() if not text and field != "pi_or_supervisor"]
    problems = [f"{', '.join(missing)} is missing"] if missing else []
    if form["email"] and "@" not in str(form["email"]):
        problems.append(f"{form['email']!r} is no email address")
    if 0 < len(str(form["research_purpose"])) < _LEAST_PURPOSE:
        problems.append(f"the purpose has fewer than {_LEAST_PURPOSE} characters")
    if problems:
        raise AccessError(f"{'; '.join(problems)}. Nothing was sent.")


def _check_consent(version: str) -> None:
    typed = _answer(f"Type yes if you have read both, and accept the terms, version {version}")
    if typed.lower() != "yes":
        raise _NotAcceptedError(f"the terms were not accepted ({typed!r}). Nothing was sent.")


class _NotAcceptedError(TermsNotAcceptedError, AccessError):
    """The answer was not yes: for scripts that expect an error of the service, too."""
