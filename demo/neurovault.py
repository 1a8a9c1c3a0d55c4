"""NeuroVault: by id, again, offline, words, faults, search, and a sheet of its maps."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from typing import TYPE_CHECKING

from demo._stage import HERE, Stage, heading, say
from neurofetch.neurovault import IsIn, fetch_neurovault, fetch_neurovault_ids
from testbed.neurovault import NeuroVault, html_page
from testbed.neurovault_data import Volume
from testbed.neurovault_maps import task_of

if TYPE_CHECKING:
    from neurofetch.neurovault import NeurovaultBunch

__all__ = ["PICTURE", "main"]

PICTURE = HERE / "neurovault.png"
COLLECTION, IMAGE = 1952, 32015
TITLES = ("right hand", "2-back", "sentences", "faces", "right hand, again", "2-back, again")


def main(stage: Stage) -> None:
    """Play the act."""
    heading("A real NeuroVault on loopback, with volumes, records, odd headers and errors")
    with NeuroVault() as server:
        _fill(server)
        stage.set(
            NEUROVAULT_API_URL=server.api_url,
            NEUROSYNTH_API_URL=server.neurosynth_url,
            NILEARN_DATA=str(stage.folder / "nilearn_data"),
        )
        say(f"{len(server.vault.collections)} collections, {len(server.vault.images)} images")
        _by_command(stage, server)
        _by_function(server)
        _faults(server)
        _search(stage)
    _draw(stage)


def _fill(server: NeuroVault) -> None:
    server.vault.add_recorded()
    server.vault.add_collection(COLLECTION, name="Made-up maps of four tasks", DOI="10.1000/demo")
    for place, title in enumerate(TITLES):
        server.vault.add_image(
            101 + place,
            COLLECTION,
            name=title,
            volume=Volume(place, voxel_mm=3.0),
            map_type="T map",
            cognitive_paradigm_cogatlas=task_of(place),
        )
    server.vault.add_collection(42, images=range(32010, 32020))


def _by_command(stage: Stage, server: NeuroVault) -> None:
    heading("A collection and an image by id: the plan, then the volumes")
    asked = f"neurofetch neurovault fetch --collection {COLLECTION} --image {IMAGE}"
    stage.run(f"{asked} --dry-run")
    server.clear_log()
    stage.run(asked)
    _tell(server)
    heading("The second call asks the server nothing")
    server.clear_log()
    stage.run(asked)
    _tell(server)
    heading("What is known of an image; the cache read again, to the end of each volume")
    stage.run(f"neurofetch neurovault info {IMAGE}")
    stage.run("neurofetch neurovault verify")


def _tell(server: NeuroVault) -> None:
    """Say what the server was asked."""
    kinds = Counter(request.key.split("/")[1] for request in server.log)
    shown = ", ".join(f"{number} below /{kind}/" for kind, number in sorted(kinds.items()))
    say(f"requests: {len(server.log)}{f' ({shown})' if shown else ''}")


def _by_function(server: NeuroVault) -> list[str]:
    heading("The same from Python, offline, with the words matrix fetched before")
    bunch = fetch_neurovault_ids([COLLECTION], fetch_neurosynth_words=True, verbose=0)
    _print_words(bunch)
    server.clear_log()
    again = fetch_neurovault_ids(
        [COLLECTION], [IMAGE], "offline", None, True, True, 0
    )  # the positional order of the older page
    words = 0 if again.vocabulary is None else len(again.vocabulary)
    say(f"offline: {len(again.images)} images, {words} words")
    _tell(server)
    heading("By filters, checked here since the server ignores them")
    some = fetch_neurovault(max_images=4, verbose=0, map_type=IsIn("Z map"), collection_id=42)
    say(", ".join(f"{m['id']} ({m['map_type']})" for m in some.images_meta))
    return list(bunch.images)


def _print_words(bunch: NeurovaultBunch) -> None:
    if bunch.vocabulary is None or bunch.word_frequencies is None:
        say("Neurosynth gave no words")
        return
    say(f"word_frequencies: {bunch.word_frequencies.shape}, from {len(bunch.images)} images")
    words = list(bunch.vocabulary)[:6]
    print(f"   {'':<12}" + "".join(f"{word[:11]:>12}" for word in words))
    for meta, row in zip(bunch.images_meta, bunch.word_frequencies, strict=True):
        print(f"   {meta['name']:<12}" + "".join(f"{value:>12.3f}" for value in row[:6]))


def _faults(server: NeuroVault) -> None:
    heading("A bad day: a 503, a cut body, a page of HTML, a file that is not there")
    server.fault(key="/media/*map_32011*", times=1, status=503)
    server.fault(key="/media/*map_32013*", times=1, cut_after=500)
    server.fault(key="/media/*map_32017*", times=1, body=html_page(200, "Sorry"))
    server.fault(key="/media/*map_32018*", status=404)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bunch = fetch_neurovault_ids([42], verbose=0)
    say(f"{len(bunch.images)} of 10 images; the one warning says:")
    for line in str(caught[0].message).splitlines():
        say(f"  {line}")
    server.clear_faults()
    server.clear_log()
    say(f"the next call: {len(fetch_neurovault_ids([42], verbose=0).images)} of 10")
    _tell(server)


def _search(stage: Stage) -> None:
    heading("A local catalogue, filled once, searched without a request")
    stage.run("neurofetch neurovault search hand --update")
    found = stage.run('neurofetch neurovault search hand --field map_type="T map" --json')
    records = json.loads(found)["records"]
    say(f"ids for fetch_neurovault_ids: {[record['id'] for record in records]}")


def _draw(stage: Stage) -> None:
    heading("What came, as a picture")
    stage.run(f"neurofetch neurovault show {COLLECTION} --out {PICTURE}")
    say(
        f"{PICTURE.relative_to(HERE.parent)}: {len(TITLES)} maps on one sheet, one range of colours"
    )
