"""What OpenNeuro's GraphQL server says: its schema as far as it is asked here, and the answers.

Types and fields are those of server 5.5.1. Validation, introspection and the shapes of what comes
back are graphql-core's, so a query that this server takes is one by the specification.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from graphql import (
    GraphQLError,
    GraphQLSchema,
    build_schema,
    execute_sync,
    parse,
    validate,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from graphql import GraphQLResolveInfo

    from testbed._snapshots import Dataset, Snapshot

    Info = GraphQLResolveInfo[Callable[[Dataset], bool]]

__all__ = ["SCHEMA", "Api", "cursor_of"]

SCHEMA = """
scalar BigInt
scalar Date
scalar DateTime
enum SortOrdering { ascending descending }
enum SearchSortOption {
  relevance
  newest
  oldest
  activity
  last_updated
}
input DatasetSort {
  created: SortOrdering
  name: SortOrdering
  uploader: SortOrdering
  stars: SortOrdering
  downloads: SortOrdering
  views: SortOrdering
  subscriptions: SortOrdering
  publishDate: SortOrdering
}
input DatasetFilter {
  public: Boolean
  shared: Boolean
  invalid: Boolean
  starred: Boolean
  all: Boolean
}
input DatasetSearchInput {
  keywords: [String!]
  modality: String
  ageRange: [Int!]
  subjectCountRange: [Int!]
  diagnosis: String
  tasks: [String!]
  authors: [String!]
  sex: String
  dateRange: String
  species: String
  studyStructure: String
  studyDomains: [String!]
  bidsDatasetType: String
  brainInitiative: Boolean
  sortBy: SearchSortOption
  userId: String
  publicOnly: Boolean
}
type PageInfo {
  hasNextPage: Boolean!
  hasPreviousPage: Boolean!
  startCursor: String
  endCursor: String
  count: Int
}
type DatasetEdge {
  id: String!
  node: Dataset
  cursor: String!
}
type DatasetConnection {
  edges: [DatasetEdge]
  pageInfo: PageInfo!
}
type DatasetDerivatives {
  name: String
  local: Boolean
  s3Url: String
  dataladUrl: String
}
type Metadata {
  datasetId: ID!
  species: String
  studyDomain: String
  dxStatus: String
  seniorAuthor: String
  modalities: [String]
}
type Analytic {
  views: Int
  downloads: Int
}
type Draft {
  id: ID
  modified: DateTime
}
type Dataset {
  id: ID!
  created: DateTime!
  public: Boolean
  draft: Draft
  snapshots: [Snapshot]
  latestSnapshot: Snapshot!
  analytics: Analytic
  name: String
  publishDate: DateTime
  derivatives: [DatasetDerivatives]
  metadata: Metadata
}
type Description {
  id: ID!
  Name: String!
  BIDSVersion: String!
  License: String
  Authors: [String]
  SeniorAuthor: String
  Acknowledgements: String
  HowToAcknowledge: String
  Funding: [String]
  ReferencesAndLinks: [String]
  DatasetDOI: String
  DatasetType: String
  EthicsApprovals: [String]
}
type DeprecatedSnapshot {
  id: ID!
  user: String
  reason: String
  timestamp: Date
}
type Summary {
  id: ID!
  modalities: [String]
  primaryModality: String
  secondaryModalities: [String]
  sessions: [String]
  subjects: [String]
  tasks: [String]
  size: BigInt!
  totalFiles: Int!
  dataProcessed: Boolean
}
type DatasetFile {
  id: ID!
  filename: String!
  size: BigInt
  annexed: Boolean
  urls: [String]
  directory: Boolean
}
type Snapshot {
  id: ID!
  tag: String!
  dataset: Dataset!
  created: DateTime
  summary: Summary
  files(tree: String, recursive: Boolean): [DatasetFile]
  description: Description
  readme: String
  hexsha: String
  deprecated: DeprecatedSnapshot
  size: BigInt
}
type Query {
  dataset(id: ID!): Dataset
  datasets(
    first: Int = 25
    after: String
    before: String
    orderBy: DatasetSort = {created: ascending}
    filterBy: DatasetFilter = {}
    myDatasets: Boolean
    modality: String
  ): DatasetConnection
  snapshot(datasetId: ID!, tag: String!): Snapshot
  advancedSearch(
    query: DatasetSearchInput!
    allDatasets: Boolean
    datasetType: String
    datasetStatus: String
    after: String
    first: Int
  ): DatasetConnection
}
"""

TASK = re.compile(r"(?:^|_)task-([a-zA-Z0-9]+)")


def cursor_of(value: object) -> str:
    """Return a cursor as the server writes them: JSON in base 64."""
    return base64.b64encode(json.dumps(value).encode()).decode()


def _read_cursor(text: str) -> Any:
    return json.loads(base64.b64decode(text))


class Api:
    """The answers to queries about some data sets.

    Parameters
    ----------
    datasets
        By accession number; may change at any time.
    rows
        What the listing of a snapshot says, as rows.
    """

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        rows: Callable[[Dataset, Snapshot], list[dict[str, Any]]],
    ) -> None:
        self.version = "5.5.1"
        self.big_int_as_text = False
        """Whether a BigInt goes over the wire as a string, as it did in some versions."""
        self.data_where_it_failed = False
        """Whether an answer with errors still has its root fields, as nulls."""
        self._datasets = datasets
        self._rows = rows
        self._text = SCHEMA
        self._schema = self._build(SCHEMA)

    def drop(self, kind: str, name: str) -> None:
        """Take a field out of a type of the schema, as releases did without notice."""
        block = re.compile(rf"(type {kind} \{{[^}}]*?)\n  {name}\b[^\n]*")
        text, count = block.subn(r"\1", self._text)
        if count != 1:
            raise ValueError(f"{kind} has no field {name}")
        self._text = text
        self._schema = self._build(text)

    def answer(self, body: bytes, readable: Callable[[Dataset], bool]) -> tuple[int, Any]:
        """Return status and content of the answer to a POST."""
        try:
            asked = json.loads(body)
            document = parse(asked["query"])
        except (ValueError, KeyError, TypeError):
            return 400, self.failed(
                "POST body missing, invalid Content-Type, or JSON", "BAD_REQUEST"
            )
        except GraphQLError as error:
            return 400, self.failed(error.message, "GRAPHQL_PARSE_FAILED")
        problems = validate(self._schema, document)
        if problems:
            return 400, self.failed(problems[0].message, "GRAPHQL_VALIDATION_FAILED", data=False)
        result = execute_sync(
            self._schema,
            document,
            root_value={},
            context_value=readable,
            variable_values=asked.get("variables"),
        )
        said: dict[str, Any] = {"data": result.data}
        if result.errors:
            said = {"errors": [_shown(error) for error in result.errors], **said}
            empty = result.data is None or not any(result.data.values())
            if empty and not self.data_where_it_failed:
                said["data"] = None
        return 200, self._signed(said)

    def failed(
        self,
        message: str,
        code: str = "",
        *,
        data: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        """Return what the server says where a whole query failed."""
        about = {"code": code or "INTERNAL_SERVER_ERROR", "stacktrace": [f"Error: {message}"]}
        error = {
            "message": message,
            "locations": [{"line": 1, "column": 1}],
            "extensions": {**about, **(more or {})},
        }
        said = {"errors": [error], **({"data": None} if data else {})}
        return self._signed(said)

    def _signed(self, said: dict[str, Any]) -> dict[str, Any]:
        return {**said, "extensions": {"openneuro": {"version": self.version}}}

    def _build(self, text: str) -> GraphQLSchema:
        schema = build_schema(text)
        resolvers: dict[str, dict[str, Any]] = {
            "Query": {
                "dataset": self._dataset,
                "datasets": self._page,
                "snapshot": self._snapshot,
                "advancedSearch": self._search,
            },
            "Snapshot": {"files": self._files},
        }
        for kind, fields in resolvers.items():
            for name, resolver in fields.items():
                defined = schema.type_map[kind].fields  # type: ignore[attr-defined]
                if name in defined:
                    defined[name].resolve = resolver
        big = schema.type_map["BigInt"]
        big.serialize = lambda value: str(value) if self.big_int_as_text else value  # type: ignore[attr-defined]
        return schema

    def _find(self, info: Info, accession: str) -> Dataset:
        found = self._datasets.get(accession)
        if found is None:
            raise GraphQLError(f"Dataset {accession} does not exist.")
        if found.deleted is not None:
            about = {"code": "DELETED_DATASET"}
            if found.redirect:
                about["redirect"] = f"/datasets/{found.redirect}"
            reason = f" Reason: {found.deleted}." if found.deleted else ""
            message = f"Dataset {accession} has been deleted.{reason}"
            raise GraphQLError(message, extensions=about)
        if not info.context(found):
            raise GraphQLError("You do not have access to read this dataset.")
        return found

    def _dataset(self, _: object, info: Info, **given: Any) -> dict[str, Any]:
        return self._shown_dataset(self._find(info, given["id"]))

    def _snapshot(self, _: object, info: Info, **given: Any) -> dict[str, Any]:
        found = self._find(info, given["datasetId"])
        snapshot = found.snapshots.get(given["tag"])
        if snapshot is None:
            raise GraphQLError("Not Found")  # the worker's 404, as it comes through
        return self._shown_snapshot(found, snapshot)

    def _files(
        self,
        parent: dict[str, Any],
        _: Info,
        tree: str | None = None,
        recursive: bool | None = None,
    ) -> list[dict[str, Any]]:
        dataset, snapshot = parent["from"]
        rows = self._rows(dataset, snapshot)
        below = "" if tree is None else _folder_of(rows, tree)
        inside = [
            {**row, "filename": row["filename"][len(below) :]} for row in rows if _in(row, below)
        ]
        return inside if recursive else _level(inside, below)

    def _shown_dataset(self, dataset: Dataset) -> dict[str, Any]:
        shown = [self._shown_snapshot(dataset, each) for each in dataset.snapshots.values()]
        newest = shown[-1] if shown else self._draft(dataset)
        return {
            "id": dataset.id,
            "created": dataset.created,
            "publishDate": dataset.created,
            "public": dataset.public,
            "name": dataset.name,
            "draft": {"id": dataset.id, "modified": dataset.created},
            "snapshots": shown,
            "latestSnapshot": newest,
            "analytics": {"views": 0, "downloads": 0},
            "derivatives": dataset.derivatives,
            "metadata": {"datasetId": dataset.id, **dataset.metadata},
        }

    def _draft(self, dataset: Dataset) -> dict[str, Any]:
        """Return what stands in for a version where none was made: its tag is a commit."""
        from testbed._snapshots import Snapshot  # noqa: PLC0415 - one imports the other's values

        draft = Snapshot("", dataset.created, {})
        draft.tag = draft.hexsha
        return self._shown_snapshot(dataset, draft)

    def _shown_snapshot(self, dataset: Dataset, snapshot: Snapshot) -> dict[str, Any]:
        name = f"{dataset.id}:{snapshot.tag}"
        reason = snapshot.deprecated
        withdrawn = {"id": name, "reason": reason, "user": None, "timestamp": "2024-05-01"}
        return {
            "from": (dataset, snapshot),
            "id": name,
            "tag": snapshot.tag,
            "created": snapshot.created,
            "hexsha": snapshot.hexsha,
            "size": lambda _: snapshot.size,
            "dataset": lambda _: self._shown_dataset(dataset),
            "description": lambda _: _description(name, dataset, snapshot),
            "readme": lambda _: _readme(snapshot),
            "deprecated": withdrawn if reason else None,
            "summary": lambda _: _summary(name, snapshot),
        }

    def _page(self, _: object, info: Info, **given: Any) -> dict[str, Any] | None:
        """Page by offset; nothing at all is no page, and the limit is a hundred."""
        found = self._readable(info)
        if given.get("modality"):  # to the letter, as the database compares
            found = [each for each in found if given["modality"] in _modalities(each)]
        by = given.get("orderBy") or {}
        for name, order in by.items():
            key = {"created": lambda d: (d.created, d.id), "name": lambda d: d.name}.get(name)
            if key is not None:
                found.sort(key=key, reverse=order == "descending")
        if not found:
            return None
        start = _read_cursor(given["after"])["offset"] if given.get("after") else 0
        limit = max(1, min(given.get("first") or 25, 100))
        edges = [
            {**self._edge(each), "cursor": cursor_of({"offset": start + place})}
            for place, each in enumerate(found[start : start + limit])
        ]
        return {
            "edges": edges,
            "pageInfo": {
                "hasPreviousPage": start > 0,
                "startCursor": cursor_of({"offset": start}),
                "hasNextPage": start + limit < len(found),
                "endCursor": cursor_of({"offset": start + limit}),
                "count": len(found),
            },
        }

    def _search(self, _: object, info: Info, **given: Any) -> dict[str, Any]:
        """Search; a full page says that another one follows, and edges have no cursor."""
        asked = given["query"]
        found = self._readable(info)
        if asked.get("modality"):  # whatever the case, as an index of words compares
            kind = asked["modality"].lower()
            found = [each for each in found if kind in map(str.lower, _modalities(each))]
        words = " ".join([*asked.get("keywords", ()), *asked.get("tasks", ())]).lower().split()
        found = [each for each in found if all(word in _text_of(each) for word in words)]
        found = [each for each in found if _in_range(each, asked.get("subjectCountRange"))]
        newest = asked.get("sortBy") == "newest"

        def place(each: Dataset) -> list[Any]:
            return [each.created if newest else 1, each.id]

        found.sort(key=place, reverse=True)
        after = _read_cursor(given["after"]) if given.get("after") else None
        left = [each for each in found if after is None or place(each) < after]
        limit = given.get("first") or 25
        page = left[:limit]
        return {
            "edges": [{"id": each.id, **self._edge(each)} for each in page],
            "pageInfo": {
                "hasPreviousPage": False,
                "startCursor": None,
                "hasNextPage": len(page) == limit,
                "endCursor": cursor_of(place(page[-1])) if page else None,
                "count": len(found),
            },
        }

    def _edge(self, dataset: Dataset) -> dict[str, Any]:
        return {"node": None if dataset.no_node else self._shown_dataset(dataset)}

    def _readable(self, info: Info) -> list[Dataset]:
        live = [each for each in self._datasets.values() if each.deleted is None]
        return [each for each in live if each.public and info.context(each)]


def _shown(error: GraphQLError) -> dict[str, Any]:
    about = {"code": "INTERNAL_SERVER_ERROR", "stacktrace": [f"GraphQLError: {error.message}"]}
    return {**error.formatted, "extensions": {**about, **(error.extensions or {})}}


def _in(row: Mapping[str, Any], below: str) -> bool:
    return str(row["filename"]).startswith(below)


def _tree_id(folder: str) -> str:
    return hashlib.sha1(f"tree {folder}".encode(), usedforsecurity=False).hexdigest()


def _folder_of(rows: Iterable[Mapping[str, Any]], tree: str) -> str:
    """Return the folder, with its slash, that has this id."""
    for row in rows:
        parts = str(row["filename"]).split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth]) + "/"
            if _tree_id(folder) == tree:
                return folder
    raise GraphQLError("Not Found")


def _level(rows: Iterable[dict[str, Any]], below: str) -> list[dict[str, Any]]:
    """Return the files of one folder, and the folders in it, each once."""
    files, folders = [], {}
    for row in rows:
        head, slash, _ = str(row["filename"]).partition("/")
        if not slash:
            files.append(row)
            continue
        folders[head] = {
            "id": _tree_id(f"{below}{head}/"),
            "filename": head,
            "size": 0,
            "annexed": False,
            "urls": [],
            "directory": True,
        }
    return [*folders.values(), *files]


def _description(name: str, dataset: Dataset, snapshot: Snapshot) -> dict[str, Any]:
    told = snapshot.description() or {}
    return {"id": name, "Name": dataset.name or dataset.id, "BIDSVersion": "1.8.0", **told}


def _readme(snapshot: Snapshot) -> str | None:
    file = snapshot.files.get("README")
    return None if file is None else file.blob.read(0, file.blob.size).decode(errors="replace")


def _summary(name: str, snapshot: Snapshot) -> dict[str, Any] | None:
    """Return what the validator would have found, by the names of the files."""
    if not snapshot.has_summary:
        return None
    names = list(snapshot.files)
    tops = [path.split("/") for path in names if path.startswith("sub-")]
    sessions = sorted({parts[1][4:] for parts in tops if parts[1].startswith("ses-")})
    made = {
        "id": name,
        "modalities": _kinds(names),
        "primaryModality": next(iter(_kinds(names)), None),
        "subjects": sorted({parts[0][4:] for parts in tops if len(parts) > 1}),
        "sessions": sessions,
        "tasks": sorted({found[1] for path in names if (found := TASK.search(path))}),
        "size": snapshot.size,
        "totalFiles": len(names),
        "dataProcessed": False,
    }
    return {**made, **(snapshot.summary or {})}


def _kinds(names: Iterable[str]) -> list[str]:
    folders = {part for path in names for part in path.split("/")[1:-1]}
    modalities = {
        "mri": {"anat", "func", "dwi", "fmap"},
        **{kind: {kind} for kind in ("meg", "eeg", "ieeg", "pet")},
    }
    return [kind for kind, marks in modalities.items() if marks & folders]


def _modalities(dataset: Dataset) -> list[str]:
    newest = dataset.newest
    summary = None if newest is None else _summary("", newest)
    return [] if summary is None else [str(kind) for kind in summary["modalities"]]


def _text_of(dataset: Dataset) -> str:
    newest = dataset.newest
    summary = None if newest is None else _summary("", newest)
    told = [dataset.id, dataset.name, *(summary["tasks"] if summary else ())]
    return " ".join([*told, (newest and _readme(newest)) or ""]).lower()


def _in_range(dataset: Dataset, limits: list[int] | None) -> bool:
    newest = dataset.newest
    summary = None if newest is None else _summary("", newest)
    if not limits or summary is None:
        return not limits
    return limits[0] <= len(summary["subjects"]) <= limits[1]
