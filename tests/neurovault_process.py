"""A process of its own that fetches from NeuroVault: to be killed, or to run beside others.

With ``--die FUNCTION:before|after:TEXT[:NTH]`` it kills itself, as by kill -9, around the system
call with this name whose arguments contain the text.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from neurofetch.engine import RetryRules
from neurofetch.neurovault import fetch_neurovault_ids
from tests.engine_process import arm


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("--collection", type=int, nargs="*", default=[])
    parser.add_argument("--image", type=int, nargs="*", default=[])
    parser.add_argument("--mode", default="download_new")
    parser.add_argument("--die", default="")
    parser.add_argument("--words", action="store_true")
    given = parser.parse_args()
    if given.die:
        arm(given.die)
    bunch = fetch_neurovault_ids(
        given.collection,
        given.image,
        given.mode,
        given.data_dir,
        given.words,
        verbose=0,
        rules=RetryRules(attempts=3, base=0.01, cap=0.02),
    )
    print(json.dumps([meta["id"] for meta in bunch.images_meta]))


if __name__ == "__main__":
    main()
