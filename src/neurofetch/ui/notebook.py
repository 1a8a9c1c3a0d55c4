"""Look at files from a notebook: a viewer in the cell, or the local page in a frame.

The viewer is that of ipyniivue, where it is installed: it gets one volume and what is laid over it,
64 MB at most. Else the local page is shown, through jupyter-server-proxy: it is served by this
process, and ends with it. Where neither works, it is said what is needed.
"""

from __future__ import annotations

import atexit
import html as markup
import json
import logging
import os
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from neurofetch._shown import shown
from neurofetch.errors import DestinationError, UsageError, WrongTypeError
from neurofetch.extras import is_installed, need
from neurofetch.ui.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from neurofetch.ui.look.places import Place
    from neurofetch.ui.page import RunningPage

__all__ = ["PageView", "show"]

_log = logging.getLogger(__name__)

_LIMIT = 64 << 20
"""Bytes that go to the browser, of all volumes together."""
_LEAST = 1 << 20
"""Bytes that one more volume must have left."""
_TICKET_SECONDS = 600.0
_HEIGHT = 640
_VOLUMES = (".nii", ".nii.gz")


class _Asked(NamedTuple):
    """What is to be shown."""

    root: Path
    """The data directory, or the folder of the file."""
    files: tuple[str, ...]
    """Volumes in it, the one to begin with first; none where all of the directory is meant."""


def show(
    what: object,
    *,
    overlays: object = (),
    frame: int = 0,
    how: Literal["auto", "viewer", "page"] = "auto",
) -> Any:
    """Show a file, or what is in a data directory, in a notebook.

    Parameters
    ----------
    what : path, Report, Subject or result of `fetch_neurovault`
        A volume (``.nii``, ``.nii.gz``), or a data directory; or a result, whose files are in one.
    overlays : path or sequence of path
        Volumes to lay over it, half transparent: a map over anatomy, or an ROI.
    frame : int
        Which volume of a 4-D file, from 0.
    how : {"auto", "viewer", "page"}
        With ipyniivue in the cell, or the local page in a frame; by default the first of them
        that is there.

    Returns
    -------
    ipyniivue.NiiVue or PageView
        What the notebook shows, as the last line of a cell. A `PageView` is text where nothing can
        be shown, and says what is needed.

    Raises
    ------
    NotThereError
        If there is no such file.
    DestinationError
        If there is no such directory.
    WrongTypeError, UsageError
        If it is nothing that can be shown.
    MissingExtraError
        If the viewer is asked for and is not installed: ``pip install 'neurofetch[notebook]'``.
    UnreadableFileError
        If a volume is damaged.

    Examples
    --------
    ::

        from neurofetch.ui import show

        show("data/sub-01/anat/sub-01_T1w.nii.gz", overlays="data/sub-01_stat-z_statmap.nii.gz")
        show(report)
    """
    if how not in ("auto", "viewer", "page"):
        raise UsageError(f"how is auto, viewer or page, not {how!r}. Nothing was shown.")
    if isinstance(frame, bool) or not isinstance(frame, int) or frame < 0:
        raise UsageError(f"frame is the number of a volume, from 0, not {frame!r}.")
    asked = _asked(what)
    over = [_file(one) for one in _paths_of(overlays)]
    if how == "viewer":
        need("The viewer in a cell", "notebook")
    if how != "page" and is_installed("ipyniivue") and is_installed("nibabel"):
        first = _first_of(asked)
        if first is not None:
            return _viewer([first, *over], frame)
        if how == "viewer":
            raise UsageError(f"{shown(str(asked.root))} has no volume that can be shown.")
    return _page(asked.root, is_asked=how == "page")


# -- what is meant -------------------------------------------------------------------------------


def _asked(what: object) -> _Asked:
    """Return what is to be shown, as a directory and files in it."""
    if isinstance(what, str | os.PathLike):
        path = _path(what)
        if os.path.isdir(path):  # that of Path raises where a name is too long
            return _Asked(path, ())
        return _Asked(path.parent, (_checked(path).name,))
    images = getattr(what, "images", None)
    if isinstance(images, list) and images:  # of NeuroVault
        first = Path(str(images[0]))
        return _Asked(first.parent, (first.name,))
    root, paths = getattr(what, "root", None), getattr(what, "paths", None)
    if isinstance(root, Path) and isinstance(paths, list):  # a report
        return _Asked(_directory(root), _below(root, paths))
    root, subject = getattr(what, "data_dir", None), getattr(what, "subject_id", None)
    if isinstance(root, Path) and isinstance(subject, str):
        return _Asked(_directory(root), tuple(_volumes_in(root, subject)))
    msg = f"{type(what).__name__} cannot be shown: give a path, a report, a subject, or images."
    raise WrongTypeError(msg)


def _path(given: str | os.PathLike[str]) -> Path:
    """Return a path that is named by a person, who may mean a home directory with ``~``."""
    name = os.fsdecode(given)
    if not name:
        raise UsageError("No file is named: the name is empty. Nothing was shown.")
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no such user: it may be the name of a file
        return Path(name)


def _directory(root: Path) -> Path:
    if not root.is_dir():
        msg = f"{shown(str(root))} is no directory. Nothing was shown. Name one that is here."
        raise DestinationError(msg)
    return root


def _checked(path: Path) -> Path:
    from neurofetch.ui.web import NotThereError  # noqa: PLC0415 - for mistakes alone

    if not os.path.exists(path):  # that of Path raises where a name is too long
        raise NotThereError(f"{shown(str(path))} is not here. Nothing was shown. Fetch it first.")
    if not path.name.endswith(_VOLUMES):
        msg = f"{shown(path.name)} is no volume (.nii, .nii.gz). Nothing was shown. "
        raise UsageError(f"{msg}Give its folder, and it is shown in the local page.")
    return path


def _paths_of(overlays: object) -> list[str | os.PathLike[str]]:
    some = [overlays] if isinstance(overlays, str | os.PathLike) else overlays
    if not isinstance(some, list | tuple) or not all(
        isinstance(o, str | os.PathLike) for o in some
    ):
        raise WrongTypeError(f"overlays are paths of volumes, not {overlays!r}.")
    return list(some)


def _file(given: str | os.PathLike[str]) -> Place:
    from neurofetch.ui.look.places import Place  # noqa: PLC0415

    path = _checked(_path(given))
    return Place(Path(os.path.realpath(path.parent)), (path.name,))


def _below(root: Path, paths: Iterable[Path]) -> tuple[str, ...]:
    from neurofetch.display.thumbnail import first_maps  # noqa: PLC0415

    return tuple(first_maps(path.relative_to(root).as_posix() for path in paths))


def _volumes_in(root: Path, subject: str = "") -> list[str]:
    """Return the volume of a directory that is most worth a look; of a subject, if one is named."""
    from neurofetch.display.thumbnail import first_maps  # noqa: PLC0415
    from neurofetch.ui.directories import Directories  # noqa: PLC0415
    from neurofetch.ui.look.shelf import Shelf  # noqa: PLC0415

    seen = Shelf(Directories([root])).seen("d1")
    paths = (one.item.path for one in seen.found if one.item.kind == "volume")
    own = f"{subject}_"
    return first_maps(path for path in paths if own in path or not subject)


def _first_of(asked: _Asked) -> Place | None:
    from neurofetch.ui.look.places import Place  # noqa: PLC0415

    files = asked.files or tuple(_volumes_in(asked.root))
    root = Path(os.path.realpath(asked.root))
    return Place(root, tuple(files[0].split("/"))) if files else None


# -- the viewer in the cell ----------------------------------------------------------------------


def _viewer(places: Sequence[Place], frame: int) -> Any:
    """Return the widget with volumes, each cut to what is left of 64 MB."""
    from ipyniivue import NiiVue  # noqa: PLC0415 - not always installed, and slow to import

    left, peak = _LIMIT, None
    volumes: list[dict[str, Any]] = []
    for number, place in enumerate(places):
        if left < _LEAST:
            msg = f"{place.shown} is too much: 64 MB go to the browser at a time. Show fewer."
            raise UsageError(f"{msg} Nothing was shown.")
        volume, size, is_map = _volume(place, frame if not number else 0, left)
        if number:
            volume |= {"opacity": 0.7, "cal_min": max(volume["cal_min"], volume["cal_max"] / 2)}
        if is_map and (number or len(places) == 1):
            peak = peak or _strongest(volume["data"], volumes[0]["data"] if number else b"")
        volumes.append(volume)
        left -= size
    widget = NiiVue(
        height=420,
        back_color=(0.0, 0.0, 0.0, 1.0),
        crosshair_color=(0.45, 0.75, 1.0, 0.7),
        crosshair_width=0.5,
        is_colorbar=True,
    )
    widget.load_volumes(volumes)
    if peak is not None:
        widget.scene.crosshair_pos = peak
    return widget


def _volume(place: Place, frame: int, limit: int) -> tuple[dict[str, Any], int, bool]:
    """Return a volume for the viewer, how many bytes it takes, and whether it is a map."""
    from neurofetch.ui.look.kinds import said  # noqa: PLC0415
    from neurofetch.ui.look.sidecars import metadata  # noqa: PLC0415
    from neurofetch.ui.look.volumes import Volumes  # noqa: PLC0415 - needs numpy

    volumes = Volumes(limit=limit)
    found = volumes.described(place, said(place.path, "volume"), metadata(place))
    looked = found["volume"]
    served = volumes.volume(place, frame, 1)
    low, high = float(looked["cal_min"]), float(looked["cal_max"])
    if looked["symmetric"]:  # as on the page: a threshold, and room for colours above it
        threshold = float(looked["threshold"])
        low, high = threshold or high / 20, max(high, 2 * threshold)
    volume = {
        "data": served.body,
        "name": served.name,
        "colormap": looked["colormap"],
        "colormap_negative": looked["colormap_negative"] or "",
        "cal_min": low,
        "cal_max": high,
        "opacity": 1.0,
    }
    return volume, len(served.body), bool(found["is_map"])


def _strongest(body: bytes, below: bytes) -> list[float] | None:
    """Return where a map is strongest, in parts of the volume that is below all others.

    Parameters
    ----------
    body, below : bytes
        Files, as the viewer gets them; b"" where the map is that volume.
    """
    import nibabel as nib  # noqa: PLC0415 - as the viewer, not always installed
    import numpy as np  # noqa: PLC0415

    try:
        image = _image(body)
        values: Any = np.nan_to_num(
            np.asanyarray(image.dataobj, dtype=np.float32), posinf=0, neginf=0
        )
        if not values.any():
            return None
        voxel = np.unravel_index(np.argmax(np.abs(values)), values.shape)[:3]
        ground: Any = nib.as_closest_canonical(_image(below) if below else image)  # type: ignore[attr-defined,unused-ignore]
        place = np.linalg.inv(ground.affine) @ image.affine @ [*voxel, 1]
        return [float(part) for part in np.clip((place[:3] + 0.5) / ground.shape[:3], 0, 1)]
    except Exception as error:  # noqa: BLE001 - then the viewer begins in the middle
        _log.debug("it is not known where this map is strongest: %r", error)
        return None


def _image(body: bytes) -> Any:
    import gzip  # noqa: PLC0415

    import nibabel as nib  # noqa: PLC0415

    plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    kind: Any = (
        nib.Nifti2Image if plain[:1] == b"\x1c" or plain[3:4] == b"\x1c" else nib.Nifti1Image
    )
    return kind.from_bytes(plain)


# -- the page in a frame -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tickets(Guard):
    """Lets in who has a ticket, once: what is in a notebook is saved, and read by others."""

    tickets: dict[str, float] = field(default_factory=dict, repr=False)
    lock: Any = field(default_factory=threading.Lock, repr=False)

    def ticket(self) -> str:
        """Return a new ticket."""
        made = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self.lock:
            for old in [one for one, until in self.tickets.items() if until <= now]:
                del self.tickets[old]
            self.tickets[made] = now + _TICKET_SECONDS
        return made

    def is_token(self, given: str | None) -> bool:
        """Whether this is a ticket that was not used yet, or the token itself."""
        if given is None:
            return False
        with self.lock:
            until = self.tickets.pop(given, 0.0)
        return until > time.monotonic() or Guard.is_token(self, given)


class PageView:
    """The local page, as a notebook shows it; or what is needed for it.

    Parameters
    ----------
    root : Path
        The data directory.
    address : str
        Below Jupyter's own; "" where the page cannot be shown here.
    guard : object
        Gives tickets.
    said : str
        In words, what to do.
    """

    def __init__(self, root: Path, address: str, guard: _Tickets | None, said: str) -> None:
        self.root = root
        self.address = address
        self._guard = guard
        self._said = said

    def __repr__(self) -> str:
        return f"<the local page for {shown(str(self.root))}: {self._said}>"

    def _repr_html_(self) -> str:
        said = markup.escape(self._said)
        if not self.address or self._guard is None:
            return f"<div>{said}</div>"
        # Not ?token=: Jupyter would take that for its own.
        src = markup.escape(f"{self.address}?ticket={self._guard.ticket()}#/look/d1", quote=True)
        frame = (
            f'<iframe src="{src}" title="neurofetch" width="100%" height="{_HEIGHT}" '
            'style="border:1px solid rgba(128,128,128,.35);border-radius:4px"></iframe>'
        )
        return f'{frame}<div style="opacity:.8;font-size:.9em">{said}</div>'


_pages: dict[Path, RunningPage] = {}


def _page(root: Path, *, is_asked: bool) -> PageView:
    base = _jupyter_base()
    if not base:
        return PageView(root, "", None, _needed(root, "this is no notebook of a Jupyter server"))
    # The server may have an environment of its own, which cannot be seen from here.
    if not is_asked and not is_installed("jupyter_server_proxy"):
        why = "jupyter-server-proxy is not installed beside this kernel"
        return PageView(root, "", None, _needed(root, why))
    page = _running(root.absolute(), base)
    guard = page.guard
    said = (
        f"The local page for {shown(str(root))}; it ends with this kernel. Where the frame stays "
        "empty, Jupyter's server lacks jupyter-server-proxy, or the notebook was saved: run the "
        "cell again."
    )
    return PageView(root, guard.base_path, guard if isinstance(guard, _Tickets) else None, said)


def _needed(root: Path, why: str) -> str:
    viewer = "" if is_installed("ipyniivue") else "; and ipyniivue is not installed"
    return (
        f"The local page cannot be shown in this cell: {why}{viewer}. Install what shows a volume "
        "in a cell: pip install 'neurofetch[notebook]'; or what shows the page in Jupyter, beside "
        "its server: pip install jupyter-server-proxy (if that is there, in an environment of its "
        "own, ask for the page: how='page'). Or run in a terminal: "
        f"neurofetch ui {shown(str(root))}"
    )


def _running(root: Path, base: str) -> RunningPage:
    """Return the page for a directory: one for each, until the kernel ends."""
    from neurofetch.ui.page import RunningPage  # noqa: PLC0415 - for notebooks alone

    page = _pages.get(root)
    if page is None:

        def guard(port: int, hosts: tuple[str, ...], below: str, *more: Any) -> _Tickets:
            return _Tickets(port, hosts, f"{below}proxy/{port}/", *more)

        page = RunningPage([root], hosts=("*",), base_path=base, framed=True, make_guard=guard)
        _pages[root] = page
        atexit.register(page.close)
    return page


def _jupyter_base() -> str:
    """Return the path of the Jupyter server that started this kernel; "" where there is none.

    A hub says it in a variable. Another server writes it down in a file, which is named after its
    process.
    """
    from neurofetch.display.live import notebook  # noqa: PLC0415

    if notebook() is None:
        return ""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    if prefix.startswith("/"):
        return prefix if prefix.endswith("/") else f"{prefix}/"
    server = os.environ.get("JPY_PARENT_PID", "")
    for folder in _runtime_folders():
        for name in (f"jpserver-{server}.json", f"nbserver-{server}.json"):
            try:
                told = json.loads((folder / name).read_text("utf-8"))
            except (OSError, ValueError):
                continue
            base = told.get("base_url") if isinstance(told, dict) else None
            if isinstance(base, str) and base.startswith("/"):
                return base if base.endswith("/") else f"{base}/"
    return ""


def _runtime_folders() -> list[Path]:
    try:
        from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415 - a kernel has it
    except ImportError:
        return []
    return [Path(jupyter_runtime_dir())]
