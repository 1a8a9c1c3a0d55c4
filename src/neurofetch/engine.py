"""What a package for one dataset is built from: describe, list, plan, fetch, look again.

A dataset is a `Dataset`: where it lies, what comes along, what is withheld. A `Fetcher` ties it to
a data directory; its methods are the steps of a run, and `Fetcher.run` is all of them.
"""

from neurofetch.cluster import crew_of
from neurofetch.credentials.access import Access
from neurofetch.display.page import (
    Chip,
    Fold,
    Page,
    Part,
    Pictures,
    Table,
    Words,
    safely,
)
from neurofetch.display.progress import listener
from neurofetch.display.text import (
    audit_text,
    count,
    plan_summary,
    plan_text,
    report_text,
    size,
)
from neurofetch.display.thumbnail import pictures
from neurofetch.fetcher import Fetcher, Listing, RunSettings, bucket_of
from neurofetch.net.client import Client
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from neurofetch.net.response import Response
from neurofetch.net.retry import Attempts, RetryRules
from neurofetch.net.settings import Network, checked_endpoint
from neurofetch.notes import warn_of_notes
from neurofetch.planning.dataset import Dataset, Selection, Withheld, make_selection
from neurofetch.planning.entities import ENTITY_NAMES, Entities, datatype_of
from neurofetch.planning.entities import parse as parse_entities
from neurofetch.planning.match import Family, Rules
from neurofetch.planning.query import Query, items_of, query
from neurofetch.planning.suggest import nearest, twins_of, unknown_argument
from neurofetch.sources.s3 import Bucket, S3Source
from neurofetch.sources.source import Level, ListedSource, Source
from neurofetch.store.absent import content_missing, pointer_to
from neurofetch.store.audit import Audit, Finding, State, audit
from neurofetch.store.directory import DataDirectory
from neurofetch.store.places import Place, find_places
from neurofetch.store.receipts import read_receipts
from neurofetch.store.runs import Run, RunName, Task, TaskState, read_runs, runs_in
from neurofetch.survey import plan_wants
from neurofetch.transfer.options import Options, check_switches, checked_jobs, checked_shard
from neurofetch.transfer.stream import stream

__all__ = [
    "ENTITY_NAMES",
    "Access",
    "Attempts",
    "Audit",
    "Bucket",
    "Chip",
    "Client",
    "DataDirectory",
    "Dataset",
    "Entities",
    "Family",
    "Fetcher",
    "Finding",
    "Fold",
    "Level",
    "ListedSource",
    "Listing",
    "Network",
    "Options",
    "Page",
    "Part",
    "Pictures",
    "Place",
    "Query",
    "Request",
    "Response",
    "RetryRules",
    "Rules",
    "Run",
    "RunName",
    "RunSettings",
    "S3Source",
    "Selection",
    "Source",
    "State",
    "Table",
    "Task",
    "TaskState",
    "Withheld",
    "Words",
    "audit",
    "audit_text",
    "bucket_of",
    "check_switches",
    "checked_endpoint",
    "checked_jobs",
    "checked_shard",
    "content_missing",
    "count",
    "crew_of",
    "datatype_of",
    "failure",
    "find_places",
    "items_of",
    "listener",
    "make_selection",
    "nearest",
    "parse_entities",
    "pictures",
    "plan_summary",
    "plan_text",
    "plan_wants",
    "pointer_to",
    "query",
    "read_receipts",
    "read_runs",
    "report_text",
    "runs_in",
    "safely",
    "size",
    "stream",
    "twins_of",
    "unknown_argument",
    "warn_of_notes",
]
