"""Ask OpenNeuro which data sets there are, and what is known of one.

Lists come a page at a time, each after the cursor of the one before. A node that the server cannot
show is null: it is passed over. The public catalogue is asked for without a token.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from neurofetch.display.progress import listener
from neurofetch.errors import NothingMatchedError, ServerError, UsageError
from neurofetch.net.client import Client
from neurofetch.net.retry import Attempts
from neurofetch.net.settings import Network
from neurofetch.openneuro.described import described
from neurofetch.sources.graphql import GraphQL, SchemaError
from neurofetch.sources.openneuro import OpenNeuroSource, openneuro_site
from neurofetch.sources.openneuro_address import Address, parse_openneuro
from neurofetch.sources.openneuro_token import token_for
from neurofetch.sources.openneuro_versions import unknown_version, versions_of
from neurofetch.transfer.news import telling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from neurofetch.openneuro.described import DatasetInfo
    from neurofetch.sources.graphql import Answer

__all__ = ["LIMIT", "datasets", "info", "search"]

LIMIT = 50
"""Data sets that are listed by default."""
_PAGE = 100
"""Data sets of one page: the most that the server gives."""
_MOST_SUBJECTS = 1_000_000
_NODE = (
    "id name public created publishDate latestSnapshot { tag created size "
    "deprecated { reason timestamp } "
    "description { Name License DatasetDOI Authors } "
    "summary { modalities subjects sessions tasks totalFiles size } }"
)
_LEAST_NODE = "id name latestSnapshot { tag }"
_PAGES = "pageInfo { hasNextPage endCursor }"
_LIST = (
    "query Datasets($first: Int, $after: String, $modality: String) {{ found: datasets(first: "
    "$first, after: $after, modality: $modality, orderBy: {{created: descending}}, "
    "filterBy: {{public: true}}) {{ edges {{ node {{ {node} }} }} {pages} }} }}"
)
_SEARCH = (
    "query Search($first: Int, $after: String, $query: DatasetSearchInput!) {{ found: "
    'advancedSearch(query: $query, datasetType: "All Public", first: $first, after: $after) '
    "{{ edges {{ node {{ {node} }} }} {pages} }} }}"
)
_VERSIONS = "snapshots { tag created deprecated { reason timestamp } }"
_INFO = "query Info($id: ID!) {{ dataset(id: $id) {{ {node} {more} }} }}"
_INFO_OF = (
    "query InfoOf($id: ID!, $tag: String!) {{ dataset(id: $id) {{ {node} {more} }} "
    "snapshot(datasetId: $id, tag: $tag) {{ {version} }} }}"
)
_DERIVATIVES = "derivatives { name s3Url }"


def datasets(modality: str | None = None, *, limit: int | None = LIMIT) -> list[DatasetInfo]:
    """List public data sets of OpenNeuro, the newest first.

    Parameters
    ----------
    modality : str, optional
        Only these: ``mri``, ``eeg``, ``ieeg``, ``meg``, ``pet``, ``nirs``.
    limit : int or None
        At most so many; None for all, which takes a request for each 100.

    Returns
    -------
    list of DatasetInfo

    Raises
    ------
    UsageError
        If an argument makes no sense; nothing was asked.
    NothingMatchedError
        If there is none.
    ServerError
        If OpenNeuro cannot be asked.

    Examples
    --------
    >>> from neurofetch import openneuro
    >>> [one.accession for one in openneuro.datasets("meg", limit=2)]  # doctest: +SKIP
    ['ds007012', 'ds006890']
    """
    _check_limit(limit)
    modality = _word("modality", modality)
    found = _paged(_LIST, {"modality": modality}, limit)
    if not found:
        raise _nothing("lists", modality=modality)
    return found


def search(
    text: str | Sequence[str] | None = None,
    *,
    modality: str | None = None,
    task: str | Sequence[str] | None = None,
    author: str | Sequence[str] | None = None,
    subjects: tuple[int | None, int | None] | int | None = None,
    limit: int | None = LIMIT,
) -> list[DatasetInfo]:
    """Search OpenNeuro's public data sets; the best matches come first.

    The server does the search, so what a word finds is its decision.

    Parameters
    ----------
    text : str or sequence of str, optional
        Words of the name, the README, the authors, or an accession number.
    modality : str, optional
        As for `datasets`.
    task, author : str or sequence of str, optional
    subjects : int or tuple of int, optional
        At least so many, or from … to …, where None is no bound.
    limit : int or None
        At most so many; None for all.

    Returns
    -------
    list of DatasetInfo

    Raises
    ------
    UsageError
        If an argument makes no sense, or none is given; nothing was asked.
    NothingMatchedError
        If nothing is found.
    ServerError
        If OpenNeuro cannot be asked.
    """
    _check_limit(limit)
    query: dict[str, Any] = {
        "keywords": _words("text", text),
        "modality": _word("modality", modality),
        "tasks": _words("task", task),
        "authors": _words("author", author),
        "subjectCountRange": _range(subjects),
    }
    query = {name: value for name, value in query.items() if value}
    if not query:
        raise UsageError(
            "A search needs a word, a modality, a task, an author or a number of subjects. Nothing "
            "was asked. To see all data sets, list them."
        )
    found = _paged(_SEARCH, {"query": query}, limit)
    if not found:
        raise _nothing("finds", **query)
    return found


def info(dataset: str) -> DatasetInfo:
    """Describe one data set of OpenNeuro: its newest version, or the one that is named.

    Parameters
    ----------
    dataset : str
        An accession number (``ds000246``, ``openneuro:ds000246@1.0.1``), a DOI, or the address that
        a browser shows.

    Returns
    -------
    DatasetInfo
        With all versions and derivatives.

    Raises
    ------
    UsageError
        If it names no data set of OpenNeuro; nothing was asked.
    NothingMatchedError
        If there is none of that number, or it was deleted.
    UnknownValueError
        If it has no such version.
    ServerError
        If OpenNeuro cannot be asked, or the data set may not be read.
    """
    site = openneuro_site()
    address = parse_openneuro(dataset, site)
    if address is None:
        raise UsageError(
            f"{dataset!r} names no data set of OpenNeuro, such as ds000246, "
            "openneuro:ds000246@1.0.1, its DOI, or its address in a browser. Nothing was asked."
        )
    with _asking(site, secret=True) as (api, client, attempts):
        try:
            return _described(api, address)
        except ServerError as error:
            explain = OpenNeuroSource(client, attempts, address, site).explained
            raise explain(error) from error


def _described(api: GraphQL, address: Address) -> DatasetInfo:
    """Ask for less where the server does not know all that we would like to hear."""
    variables = {"id": address.accession} | ({"tag": address.tag} if address.tag else {})
    query = _INFO_OF if address.tag else _INFO
    version = _NODE.partition("latestSnapshot { ")[2].removesuffix(" }")
    notes: tuple[str, ...] = ()
    try:
        full = query.format(node=_NODE, more=f"{_VERSIONS} {_DERIVATIVES}", version=version)
        answer: Answer[object] = api.ask(full, variables)
    except SchemaError as error:
        notes = (f"{error}. So less was asked.",)
        least = query.format(node=_LEAST_NODE, more="snapshots { tag }", version="tag")
        answer = api.ask(least, variables)
    told, snapshot = answer.data.get("dataset"), answer.data.get("snapshot")
    if address.tag and not isinstance(snapshot, dict):
        rows = told.get("snapshots") if isinstance(told, dict) else None
        versions = versions_of(rows)
        plain = address.tag.lstrip("vV")
        if plain != address.tag and plain in [one.tag for one in versions]:
            return _described(api, address._replace(tag=plain))  # as it stands in a DOI
        if address.tag in [one.tag for one in versions] and answer.errors:
            raise answer.errors[0]
        raise unknown_version(address.accession, address.tag, versions)
    notes += (api.doubt,) if api.doubt else ()
    notes += tuple(dict.fromkeys(str(error) for error in answer.errors))
    found = described(told, snapshot if address.tag else None, notes)
    if found is None:
        if answer.errors:
            raise answer.errors[0]
        raise NothingMatchedError(f"{api.told_by} says nothing of {address.accession}.")
    return found


# -- pages -----------------------------------------------------------------------------------------


@contextmanager
def _asking(site: str, *, secret: bool = False) -> Iterator[tuple[GraphQL, Client, Attempts]]:
    """Have connections for one call; `secret`: with the token, where there is one."""
    with Client(Network.from_environment()) as client:
        token = token_for(site) if secret else None
        attempts = Attempts(outages=client.outages)
        with client.outages.told_to(telling(listener("auto"))):
            api = GraphQL(client, site, attempts, token)
            api.bears_gaps = True  # one data set whose files cannot be read hides no others
            yield api, client, attempts


def _paged(query: str, variables: Mapping[str, object], limit: int | None) -> list[DatasetInfo]:
    """Return what is on all pages, each data set once."""
    found: dict[str, DatasetInfo] = {}
    with _asking(openneuro_site()) as (api, _, _):
        for nodes, notes in _pages(api, query, variables, limit):
            for node in nodes:
                one = described(node, notes=notes)
                if one is not None:
                    found.setdefault(one.accession, one)
            if limit is not None and len(found) >= limit:
                break
    return list(found.values())[:limit]


def _pages(
    api: GraphQL, query: str, variables: Mapping[str, object], limit: int | None
) -> Iterator[tuple[list[object], tuple[str, ...]]]:
    """Yield the nodes of each page; what is null is left out."""
    text = query.format(node=_NODE, pages=_PAGES)
    notes: tuple[str, ...] = ()
    first = _PAGE if limit is None else min(_PAGE, limit)
    seen: set[str | None] = {None}
    after: str | None = None
    while True:
        asked = {**variables, "first": first, "after": after}
        try:
            answer: Answer[object] = api.ask(text, asked)
        except SchemaError as error:
            if notes:
                raise
            notes = (f"{error}. So less was asked.",)
            text = query.format(node=_LEAST_NODE, pages=_PAGES)
            continue
        page = _fields(answer.data.get("found"))
        edges = page.get("edges")
        nodes = [_fields(edge).get("node") for edge in (edges if isinstance(edges, list) else ())]
        yield nodes, notes
        told = _fields(page.get("pageInfo"))
        after = told.get("endCursor")
        # A server that gives a cursor twice would be asked for ever.
        if not nodes or told.get("hasNextPage") is not True or after in seen:
            return
        seen.add(after)


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# -- what is asked for -----------------------------------------------------------------------------


def _check_limit(limit: object) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(f"limit must be a number from 1 on, not {limit!r}. Nothing was asked.")


def _word(name: str, value: str | None) -> str | None:
    words = _words(name, value)
    return " ".join(words) or None


def _words(name: str, value: object) -> list[str]:
    """Return the words of an argument."""
    given = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    words: list[str] = []
    for one in given:
        if one is not None and not isinstance(one, str):
            raise UsageError(f"{name} must be text, not {value!r}. Nothing was asked.")
        words += (one or "").split()
    return words


def _range(subjects: object) -> list[int]:
    """Return from … to …; nothing where every number will do."""
    given = subjects if isinstance(subjects, tuple | list) else (subjects, None)
    good = all(one is None or (type(one) is int and one >= 0) for one in given)
    if len(given) != 2 or not good:
        raise UsageError(
            f"subjects must be a number, or a pair such as (10, 20), not {subjects!r}. Nothing was "
            "asked."
        )
    least, most = given
    if least is not None and most is not None and least > most:
        raise UsageError(f"subjects: no number is from {least} to {most}. Nothing was asked.")
    if least is None and most is None:
        return []
    return [least or 0, _MOST_SUBJECTS if most is None else most]


def _nothing(verb: str, **asked: object) -> NothingMatchedError:
    given = [f"{name} {value}" for name, value in asked.items() if value]
    what = f" for {', '.join(given)}" if given else ""
    hint = ""
    if asked.get("modality"):
        hint = " Modalities are mri, eeg, ieeg, meg, pet and nirs."
    return NothingMatchedError(f"OpenNeuro {verb} no public data set{what}.{hint}")
