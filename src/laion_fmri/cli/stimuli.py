"""``laion-fmri stimuli``: request access to the stimulus images, and check its state."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from neurofetch import console
from neurofetch.console import ExitCode

if TYPE_CHECKING:
    import argparse

    from laion_fmri.stimuli import Access, Terms

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["add_stimuli"]

_PHRASE = "I ACCEPT"
_FIELDS = (
    ("name", "your full name"),
    ("email", "your address at your institution"),
    ("institution", "your institution"),
    ("pi", "your principal investigator or supervisor (optional)"),
    (
        "purpose",
        "what you need the images for, in at least 20 characters; no data about third parties",
    ),
)


def add_stimuli(commands: Commands) -> None:
    """Add the command and its two actions."""
    parser = commands.add_parser(
        "stimuli",
        help="access to the stimulus images, which are not CC0",
        description="The stimulus images come from an access service of the dataset's owners, for "
        "people who have accepted a data use agreement. Request access once; from then on "
        "`laion-fmri download --include-stimuli` fetches them with the other files.",
        examples=("laion-fmri stimuli request", "laion-fmri stimuli status"),
    )
    actions = console.add_commands(parser, "action", "ACTION")
    _add_request(actions)
    _add_status(actions)


def _add_request(actions: Commands) -> None:
    parser = actions.add_parser(
        "request",
        help="request access, once",
        description="Request access. Fields without a flag are asked for at the terminal. The "
        "answers go to the access service and nowhere else; the id that it returns is saved "
        "where only you can read it.",
        examples=(
            "laion-fmri stimuli request",
            "laion-fmri stimuli request --name 'Ada Lovelace' --email ada@example.org",
        ),
    )
    form = parser.add_argument_group("the form")
    for field, text in _FIELDS:
        form.add_argument(f"--{field}", metavar="TEXT", help=text)
    form.add_argument(
        "--accept-terms",
        metavar="VERSION",
        help="confirm that you have read and accept the terms of this version and have read the "
        "privacy notice; without it, you are asked at the terminal",
    )
    form.add_argument(
        "--again", action="store_true", help="send a new request even if access is granted"
    )
    console.add_output(parser)
    parser.set_defaults(handler=_request)


def _add_status(actions: Commands) -> None:
    parser = actions.add_parser(
        "status",
        help="check whether access is granted",
        description="Ask the access service whether your request id is valid; the exit code is "
        "5 if it is not.",
        examples=("laion-fmri stimuli status", "laion-fmri stimuli status --json"),
    )
    console.add_output(parser)
    parser.set_defaults(handler=_status)


# -- handlers --------------------------------------------------------------------------------


def _status(arguments: argparse.Namespace) -> int:
    from laion_fmri import stimuli

    return _show(stimuli.status(), arguments)


def _request(arguments: argparse.Namespace) -> int:
    from laion_fmri import stimuli
    from laion_fmri.access.request_id import VARIABLE, known_id

    if not arguments.again and known_id() is not None:
        access = stimuli.status()
        if access.granted:
            return _show(access, arguments)
    now = stimuli.terms()
    form = _filled(arguments, now)
    access = stimuli.request_access(accept_terms=_consent(arguments, now), **form)
    if os.environ.get(VARIABLE, "").strip():
        console.say(
            f"note: {VARIABLE} is set and wins over the new id in {access.id_from}: unset it"
        )
    return _show(access, arguments)


def _filled(arguments: argparse.Namespace, now: Terms) -> dict[str, Any]:
    """Return the form; fields without a flag are asked for at the terminal, if there is one."""
    form = {field: getattr(arguments, field) for field, _ in _FIELDS}
    if not _at_terminal():
        return {field: text or "" for field, text in form.items()}
    console.say(
        f"The stimulus images have terms of their own, version {now.version}:\n"
        f"  {now.url}\nWhat happens to your answers:\n  {now.privacy_url}"
    )
    for field, text in _FIELDS:
        if form[field] is None:
            form[field] = _answer(f"{field} ({text})")
    return form


def _consent(arguments: argparse.Namespace, now: Terms) -> str:
    """Return the version of the terms that the user accepts, by a flag or by typing a phrase."""
    from laion_fmri.errors import TermsNotAcceptedError

    if arguments.accept_terms is not None:
        return str(arguments.accept_terms)
    if not _at_terminal():
        msg = (
            f"the terms of the stimuli, version {now.version}, have to be accepted by you, and "
            f"there is no terminal to ask at. Nothing was sent. Read them at {now.url} and the "
            f"privacy notice at {now.privacy_url}; if you accept them, add "
            f"--accept-terms {now.version}"
        )
        raise TermsNotAcceptedError(msg)
    typed = _answer(
        f"If you have read the terms, version {now.version}, and the privacy notice, and accept "
        f"these terms, type {_PHRASE}."
    )
    if typed != _PHRASE:
        msg = f"the terms were not accepted (expected {_PHRASE!r}). Nothing was sent."
        raise TermsNotAcceptedError(msg)
    return now.version


def _at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _answer(prompt: str) -> str:
    # Not input(): it writes its prompt to stdout, which is for data only.
    console.say(f"{prompt}\n> ", end="")
    return sys.stdin.readline().strip()


def _show(access: Access, arguments: argparse.Namespace) -> int:
    code = ExitCode.OK if access.granted else ExitCode.LICENSE
    if arguments.json:
        console.emit("access", _as_json(access))
    elif not (arguments.quiet and access.granted):
        console.show_text(_as_text(access))
    return code


def _as_json(access: Access) -> dict[str, Any]:
    return {
        "state": access.state.value,
        "granted": access.granted,
        "reason": access.detail,
        "service": access.service,
        "terms": access.terms._asdict(),
        "request_id_from": access.id_from or None,
        "files": [file._asdict() for file in access.files],
    }


def _as_text(access: Access) -> str:
    lines = [
        f"access: {access.state.value}",
        f"service: {access.service}",
        f"terms: version {access.terms.version}, {access.terms.url}",
        f"request id: {f'kept in {access.id_from}' if access.id_from else 'none'}",
    ]
    lines += [f"file: {file.name}, {console.size(file.size)}" for file in access.files]
    return "\n".join([*lines, access.detail] if access.detail else lines)
