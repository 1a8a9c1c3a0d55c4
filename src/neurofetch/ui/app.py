"""What the page can ask for, apart from looking at files."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

from neurofetch._shown import shown
from neurofetch._version import __version__
from neurofetch.errors import UsageError
from neurofetch.ui.catalogues import Catalogue, Catalogues
from neurofetch.ui.directories import to_of
from neurofetch.ui.jobs import DRY, Job, Jobs
from neurofetch.ui.streams import Broadcast
from neurofetch.ui.web import Request, Response, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neurofetch.ui.directories import Directories

__all__ = ["App"]

_ACCEPT: Final = ("--accept-license", "CC0-1.0")
"""LAION-fMRI's licence: its text is in the error, which the page shows before one can agree."""
_ROWS: Final = 50_000
_FILES: Final = 1_000


class App:
    """Choosing, plans and runs.

    Parameters
    ----------
    directories : Directories
    """

    def __init__(self, directories: Directories) -> None:
        self.directories = directories
        self.broadcast = Broadcast()
        self.jobs = Jobs(self.broadcast)
        self.catalogues = Catalogues(directories, self.jobs, self.broadcast)

    def close(self) -> None:
        """End all that works; what came is kept."""
        self.broadcast.close()
        self.jobs.close()

    def routes(self) -> list[Route]:
        """Return what is asked for at which address."""
        return [
            Route("GET", "api/start", self._start),
            Route("POST", "api/catalogues", self._open),
            Route("GET", "api/catalogues/{name}", self._catalogue),
            Route("GET", "api/catalogues/{name}/rows", self._rows),
            Route("POST", "api/catalogues/{name}/say", self._say),
            Route("POST", "api/catalogues/{name}/stop", self._stop_listing),
            Route("POST", "api/plans", self._plan),
            Route("GET", "api/jobs", self._all_jobs),
            Route("GET", "api/jobs/{name}", self._job),
            Route("GET", "api/jobs/{name}/files", self._files),
            Route("POST", "api/jobs/{name}/{act}", self._act),
        ]

    def _start(self, _: Request) -> Response:
        return Response.json(
            {
                "version": __version__,
                "sources": _sources(),
                "directories": self.directories.described(),
                "catalogues": [one.as_json() for one in self.catalogues.all()],
                "jobs": [self.jobs.state(job) for job in self.jobs.all()],
                "viewer": _viewer(),
            }
        )

    # -- choose -------------------------------------------------------------------------------

    def _open(self, request: Request) -> Response:
        made = self.catalogues.open(request.body.get("source"), to_of(request.body.get("to")))
        return Response.json(made.as_json(facets=True))

    def _found(self, request: Request) -> Catalogue:
        return self.catalogues.find(request.parts["name"])

    def _catalogue(self, request: Request) -> Response:
        return Response.json(self._found(request).as_json(facets=True))

    def _rows(self, request: Request) -> Response:
        columns = self._found(request).columns
        if columns is None:
            raise UsageError("the list is not ready yet. Wait until it is.")
        begin, number = request.number("from", 0), request.number("count", _ROWS, _ROWS)
        return Response.json(columns.rows(begin, number))

    def _say(self, request: Request) -> Response:
        catalogue = self._found(request)
        to = request.body.get("to") or catalogue.to
        place = self._place(to_of(to))
        return Response.json(
            self.catalogues.call(catalogue, request.body.get("choice"), place).as_json()
        )

    def _stop_listing(self, request: Request) -> Response:
        catalogue = self._found(request)
        self.catalogues.stop(catalogue)
        return Response.json(catalogue.as_json())

    def _place(self, to: Mapping[str, object]) -> str:
        return str(self.directories.place(to.get("directory"), to.get("folder")))

    # -- plan and run -------------------------------------------------------------------------

    def _plan(self, request: Request) -> Response:
        catalogue = self.catalogues.find(request.body.get("catalogue"))
        if catalogue.source.kind == "directory":
            msg = (
                "these files are here already. Nothing was done. Look at them, or choose a source."
            )
            raise UsageError(msg)
        to = to_of(request.body.get("to") or catalogue.to)
        place = self._place(to)
        call = self.catalogues.call(catalogue, request.body.get("choice"), place)
        job = Job(self.jobs.new_name(), "plan", call, catalogue.source.title, DRY, dict(to))
        job.catalogue, job.place, job.free = catalogue.name, shown(place), self._free(to)
        return Response.json(self.jobs.state(self.jobs.begin(job)))

    def _free(self, to: Mapping[str, object]) -> int | None:
        for one in self.directories.described():
            if one["directory"] == to.get("directory"):
                free: int | None = one["free"]
                return free
        return None

    def _all_jobs(self, _: Request) -> Response:
        return Response.json({"jobs": [self.jobs.state(job) for job in self.jobs.all()]})

    def _job(self, request: Request) -> Response:
        return Response.json(self.jobs.state(self.jobs.find(request.parts["name"])))

    def _files(self, request: Request) -> Response:
        job = self.jobs.find(request.parts["name"])
        begin, number = request.number("from", 0), request.number("count", 200, _FILES)
        return Response.json(self.jobs.files(job, begin, number))

    def _act(self, request: Request) -> Response:
        job = self.jobs.find(request.parts["name"])
        act = request.parts["act"]
        if act == "start":
            job = self._run(job)
        elif act == "pause":
            self.jobs.pause(job)
        elif act == "resume":
            self.jobs.resume(job)
        elif act == "stop":
            self.jobs.stop(job)
        elif act == "accept":
            self.jobs.again(job, _ACCEPT)
        else:
            raise UsageError(f"{act[:40]!r} is nothing that can be done with a plan or a run.")
        return Response.json(self.jobs.state(job))

    def _run(self, plan: Job) -> Job:
        if plan.kind != "plan" or plan.state != "done":
            raise UsageError("only a plan that is ready can be fetched. Nothing was begun.")
        flags = tuple(flag for flag in plan.flags if flag not in DRY)
        job = Job(self.jobs.new_name(), "run", plan.call, plan.title, flags, plan.to)
        job.catalogue, job.of, job.place, job.free = (
            plan.catalogue,
            plan.name,
            plan.place,
            plan.free,
        )
        return self.jobs.begin(job)


def _sources() -> list[dict[str, Any]]:
    """Return what one can choose from; what cannot be used says why."""
    has_laion = importlib.util.find_spec("laion_fmri") is not None
    has_maps = all(map(importlib.util.find_spec, ("duckdb", "nibabel", "numpy")))
    install = 'Install it: pip install "neurofetch[neurovault]"'
    return [
        {
            "kind": "laion",
            "title": "LAION-fMRI",
            "about": "Responses to natural images, by subject and session",
            "ready": has_laion,
            "why": None if has_laion else "laion_fmri is not installed beside neurofetch",
        },
        {
            "kind": "openneuro",
            "title": "OpenNeuro",
            "about": "A data set by its accession number, in the version that you name",
            "ready": True,
            "why": None,
        },
        {
            "kind": "neurovault",
            "title": "NeuroVault",
            "about": "Statistical maps, by collection or by words",
            "ready": has_maps,
            "why": None if has_maps else install,
        },
        {
            "kind": "bucket",
            "title": "A bucket",
            "about": "Any BIDS data set at s3://BUCKET/PREFIX",
            "ready": True,
            "why": None,
        },
        {
            "kind": "directory",
            "title": "What is here",
            "about": "A data directory of yours: look at maps and tables",
            "ready": True,
            "why": None,
        },
    ]


def _viewer() -> dict[str, Any]:
    missing = [name for name in ("numpy", "nibabel") if importlib.util.find_spec(name) is None]
    why = 'Install what reads volumes: pip install "neurofetch[ui]"' if missing else None
    return {"ready": not missing, "why": why}
