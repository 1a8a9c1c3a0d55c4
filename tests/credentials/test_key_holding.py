"""Keys that end: renewed early, by one thread, and what happens where that fails."""

from __future__ import annotations

import pickle
import threading

import pytest

from neurofetch.credentials.keys import Credentials, Keys, checked_keys, moment, scrubbed
from neurofetch.errors import CredentialsError, TransientError, UnreachableError
from tests.credential_world import KEY_ID, SECRET, SECRETS, TOKEN


class Giver:
    """Gives keys out, and fails as it is told."""

    def __init__(self):
        self.now = 1000.0
        self.lasts = 3600.0
        self.given = 0
        self.problem = None

    def __call__(self):
        if self.problem is not None:
            raise self.problem
        self.given += 1
        return Keys(f"{KEY_ID}{self.given}", SECRET, TOKEN, self.now + self.lasts)

    def credentials(self):
        return Credentials("the profile 'lab'", self, lambda: self.now)


def test_keys_are_looked_up_once_and_renewed_five_minutes_before_they_end():
    giver = Giver()
    held = giver.credentials()
    for seconds in (0, 3000, 3299):
        giver.now = 1000.0 + seconds
        assert held.keys().key_id.endswith("1")
    giver.now = 1000.0 + 3301
    assert held.keys().key_id.endswith("2")
    assert giver.given == 2


def test_many_threads_that_need_keys_make_one_look_up():
    giver = Giver()
    held = giver.credentials()
    start = threading.Barrier(16)
    found = []

    def ask():
        start.wait()
        found.append(held.keys())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert giver.given == 1
    assert len({id(keys) for keys in found}) == 1


def test_while_one_thread_renews_the_others_go_on_with_the_keys_that_hold():
    giver = Giver()
    held = giver.credentials()
    old = held.keys()
    giver.now += 3400
    inside, go_on = threading.Event(), threading.Event()

    def slowly():
        inside.set()
        assert go_on.wait(20)
        return Keys("new", SECRET, TOKEN, giver.now + 3600)

    held._fetch = slowly
    thread = threading.Thread(target=held.keys)
    thread.start()
    assert inside.wait(20)
    assert held.keys() is old
    go_on.set()
    thread.join()
    assert held.keys().key_id == "new"


def test_a_renewal_that_fails_while_keys_hold_is_no_failure_and_is_not_tried_for_each_request():
    giver = Giver()
    held = giver.credentials()
    old = held.keys()
    giver.now += 3400
    giver.problem = CredentialsError("it is away")
    for _ in range(5):
        assert held.keys() is old
    giver.problem = None
    assert held.keys() is old  # not yet
    giver.now += 31
    assert held.keys() is not old


def test_when_they_are_over_and_there_are_no_others_all_are_told_and_few_ask():
    giver = Giver()
    held = giver.credentials()
    held.keys()
    giver.now += 4000
    giver.problem = CredentialsError("the login is over")
    for _ in range(3):
        with pytest.raises(CredentialsError, match="the login is over"):
            held.keys()
    giver.problem = None
    with pytest.raises(CredentialsError, match="the login is over"):
        held.keys()  # the answer of a moment ago
    giver.now += 6
    assert held.keys().key_id.endswith("2")


def test_a_network_that_is_away_is_worth_another_attempt_in_the_middle_but_not_at_the_start():
    giver = Giver()
    held = giver.credentials()
    giver.problem = UnreachableError("cannot connect to sts")
    with pytest.raises(UnreachableError):
        held.keys()
    giver.problem = None
    giver.now += 6
    held.keys()
    giver.now += 4000
    giver.problem = UnreachableError("cannot connect to sts")
    with pytest.raises(TransientError, match="cannot connect to sts"):
        held.keys()


def test_keys_that_have_expired_already_are_no_keys():
    giver = Giver()
    giver.lasts = -1.0
    with pytest.raises(CredentialsError, match=r"the profile 'lab' have expired.*new ones"):
        giver.credentials().keys()


def test_keys_of_four_minutes_are_used_and_not_fetched_for_each_request():
    giver = Giver()
    giver.lasts = 240.0
    held = giver.credentials()
    for _ in range(20):
        held.keys()
    assert giver.given <= 2


def test_what_a_server_calls_expired_is_looked_up_once_for_all_threads():
    giver = Giver()
    held = giver.credentials()
    used = held.keys()
    assert held.renewed(used)
    assert held.renewed(used)  # another thread was refused with the same ones
    assert giver.given == 2


def test_keys_that_are_the_same_again_are_no_renewal():
    held = Credentials("the keys in the environment", lambda: Keys(KEY_ID, SECRET))
    assert not held.renewed(held.keys())


def test_keys_are_neither_shown_nor_pickled():
    keys = checked_keys("the profile 'lab'", KEY_ID, SECRET, TOKEN)
    credentials = Credentials("the profile 'lab'", lambda: keys)
    credentials.keys()
    for holder in (keys, credentials):
        for text in (repr(holder), str(holder), f"{holder}"):
            assert not any(secret in text for secret in SECRETS)
        with pytest.raises(TypeError):
            pickle.dumps(holder)


def test_what_a_server_repeats_is_taken_out():
    keys = Keys(KEY_ID, SECRET, TOKEN)
    said = scrubbed(f"no {KEY_ID}, nor {SECRET}, nor {TOKEN}", keys)
    assert said == "no …, nor …, nor …"


@pytest.mark.parametrize(
    ("at", "wrong"),
    [(0, "a b"), (1, "a\nb"), (2, "a\x00"), (0, "é"), (1, 7), (0, ["x"]), (2, {"a": 1})],
    ids=["space", "line break", "nul", "accent", "number", "list", "object"],
)
def test_what_no_key_can_be_is_told_without_showing_it(at, wrong):
    given = [KEY_ID, SECRET, TOKEN]
    given[at] = wrong
    with pytest.raises(CredentialsError, match="characters that no key has") as caught:
        checked_keys("the profile 'lab'", *given)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_times_are_read_with_and_without_a_zone():
    assert moment("2026-01-01T00:00:00Z") == moment("2026-01-01T01:00:00+01:00")
    assert moment("2026-01-01T00:00:00") == moment("2026-01-01T00:00:00+00:00")
    with pytest.raises(ValueError, match="Invalid isoformat"):
        moment("tomorrow")
