"""Where a Dask scheduler is, as users and Dask itself write it."""

import pytest

from neurofetch.errors import UsageError
from neurofetch.net.scheduler import checked_address, scheduler_from_environment


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("tcp://login1:8786", "tcp://login1:8786"),
        ("login1:8786", "tcp://login1:8786"),
        (" tls://node-7.cluster.example:8786/\n", "tls://node-7.cluster.example:8786"),
        ("127.0.0.1:1", "tcp://127.0.0.1:1"),
        ("tcp://[::1]:65535", "tcp://[::1]:65535"),
        ("[fe80::1%eth0]:8786", "tcp://[fe80::1%eth0]:8786"),
        ("ucx://10.0.0.3:8786", "ucx://10.0.0.3:8786"),
        ("wss://gateway.example:443", "wss://gateway.example:443"),
    ],
)
def test_addresses_are_taken_as_dask_writes_them(given, meant):
    assert checked_address(given) == meant
    assert scheduler_from_environment({"DASK_SCHEDULER_ADDRESS": given}) == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        "8786",
        "login1",
        "login1:",
        ":8786",
        "login1:0",
        "login1:65536",
        "login1:123456",
        "login1:٨٧٨٦",
        "::1:8786",
        "tcp://a/b:1",
        "https://login1:8786",
        "tcp:/login1:8786",
        "tcp://login1:8786 --shard",
        "-x:8786",
    ],
)
def test_other_texts_are_none_and_nothing_is_done(given):
    with pytest.raises(UsageError, match=r"^--scheduler: .* Nothing was done\."):
        checked_address(given)


def test_a_password_is_not_shown():
    with pytest.raises(UsageError) as error:
        checked_address("tcp://me:hunter2@login1:8786")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("environ", [{}, {"DASK_SCHEDULER_ADDRESS": ""}, {"OTHER": "a:1"}])
def test_no_variable_is_no_scheduler(environ):
    assert scheduler_from_environment(environ) is None
