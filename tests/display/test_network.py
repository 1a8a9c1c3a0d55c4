"""A network that is away is told when it goes, rarely while it lasts, and when it is back."""

import io
import json
import logging
import math

import pytest

from laion_fmri.cli.main import build_parser as laion_fmri
from neurofetch._cli import build_parser as neurofetch
from neurofetch.display.log import logged
from neurofetch.display.progress import listener
from neurofetch.display.text import network_text
from neurofetch.events import NetworkAway, NetworkBack, Progress

WHY = "connection refused"


def outage(seconds, patience=900.0, server="host"):
    """The events of an outage that is told each second."""
    yield NetworkAway(server, WHY, 0.5, patience, first=True)
    for second in range(1, seconds):
        yield NetworkAway(server, WHY, float(second), patience, first=False)
    yield NetworkBack(server, float(seconds))


def told(kind, events):
    stream = io.StringIO()
    show = listener(kind, stream)
    for event in events:
        show(event)
    return stream.getvalue()


def test_a_log_has_few_lines_at_growing_intervals():
    lines = told("lines", outage(600)).splitlines()
    since = [line.partition(",")[0].removeprefix("network away since ") for line in lines[:-1]]
    assert since == ["0.5 s", "15 s", "30 s", "1 min 0 s", "2 min 0 s", "4 min 0 s", "8 min 0 s"]
    assert lines[0] == (
        "network away since 0.5 s, waiting for up to 15 min 0 s more (connection refused)"
    )
    assert lines[-1] == "network back after 10 min 0 s (host)"


def test_each_outage_is_told_anew():
    lines = told("lines", [*outage(3), *outage(4)]).splitlines()
    assert [line.partition(",")[0].split(" (")[0] for line in lines] == [
        "network away since 0.5 s",
        "network back after 3.0 s",
        "network away since 0.5 s",
        "network back after 4.0 s",
    ]


def test_two_servers_are_two_outages():
    one, two = list(outage(40, server="one")), list(outage(40, server="two"))
    lines = told("lines", [event for pair in zip(one, two, strict=True) for event in pair])
    assert lines.count("since 15 s") == 2
    assert "(one)" in lines
    assert "(two)" in lines


def test_a_bar_shows_the_running_seconds():
    progress = Progress(1, 9, 10, 100, 1.0, 5.0, 0)
    events = [progress]
    for event in outage(43):
        events += [event, progress]
    text = told("bar", events)
    assert "network away since 42 s, waiting" in text
    assert text.count("waiting for up to") == 1  # the line; the rest is in the bar
    assert "network back after 43 s" in text
    assert "network away" not in text.rpartition("network back")[2]


def test_without_a_bar_yet_it_is_told_as_in_a_log():
    text = told("bar", outage(31))
    assert text.count("network away since") == 3


def test_a_server_from_which_nothing_ever_came_is_told_of():
    event = NetworkAway("host", "cannot find the host 'hots'", 0.0, 0.0)
    for kind in ("lines", "bar"):
        text = told(kind, [event])
        assert text == (
            "cannot find the host 'hots'; nothing came from this server yet: "
            "trying a few more times\n"
        )


def test_events_are_valid_json_whatever_the_patience():
    lines = told("json", [*outage(2, patience=math.inf)]).splitlines()
    events = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [event["event"] for event in events] == ["network_away", "network_away", "network_back"]
    assert events[0]["patience"] is None
    assert events[0]["reason"] == WHY


def test_for_ever_names_no_end():
    event = NetworkAway("host", WHY, 75.0, math.inf)
    assert network_text(event) == "network away since 1 min 15 s, waiting (connection refused)"


def test_the_logger_gets_two_warnings(caplog):
    with caplog.at_level(logging.WARNING, "neurofetch"):
        for event in outage(100):
            logged(event)
    assert [record.message.split(" (")[0].partition(",")[0] for record in caplog.records] == [
        "network away since 0.5 s",
        "network back after 1 min 40 s",
    ]


COMMANDS = {
    "neurofetch get": (neurofetch, ["get", "s3://b", "--dest", "d"]),
    "laion-fmri download": (laion_fmri, ["download", "--subject", "sub-01"]),
    "neurofetch neurovault fetch": (neurofetch, ["neurovault", "fetch", "--image", "1"]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("15m", 900.0), ("2h", 7200.0), ("0", 0.0), ("inf", math.inf)],
)
def test_each_command_has_the_flag(command, text, seconds):
    build, words = COMMANDS[command]
    assert build().parse_args([*words, "--patience", text]).patience == seconds
    assert build().parse_args(words).patience is None


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("text", ["soon", "-1", "1d", ""])
def test_each_command_says_what_is_no_patience(command, text, capsys):
    build, words = COMMANDS[command]
    with pytest.raises(SystemExit) as caught:
        build().parse_args([*words, f"--patience={text}"])
    assert caught.value.code == 2
    assert "is not a time such as 90, 15m, 2h, 0 or inf" in capsys.readouterr().err
