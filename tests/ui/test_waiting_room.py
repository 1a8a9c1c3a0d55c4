"""Connections that wait without a thread: whatever they do, the room goes on."""

import queue
import socket

import pytest

from neurofetch.ui.waiting import WaitingRoom

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class World:
    """A room, who was let in, and who was let go."""

    def __init__(self, most=4, seconds=60.0):
        self.asked, self.gone = queue.Queue(), queue.Queue()
        self.room = WaitingRoom(self.take, self.leave, most=most, seconds=seconds)
        self.lines = []

    def take(self, connection, address):
        connection.close()
        self.asked.put(address)

    def leave(self, connection):
        connection.close()
        self.gone.put(connection)

    def come(self, said=b"", name="someone"):
        mine, theirs = socket.socketpair()
        self.lines.append(mine)
        mine.sendall(said)
        self.room.add(theirs, name)
        return mine

    def close(self):
        self.room.close()
        for line in self.lines:
            line.close()


@pytest.fixture
def world():
    made = []

    def make(**how):
        made.append(World(**how))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("said", [b"", b"G", HEAD[:-1]], ids=["silent", "a letter", "nearly"])
def test_who_is_let_go_while_the_room_looks_at_it_does_not_stop_the_room(world, said):
    """Of too many the first goes: at that moment its words may just have been noticed."""
    here = world(most=1)
    for _ in range(3000):
        here.come(said).close()
    here.come(HEAD, "who asks")
    assert here.asked.get(timeout=30) == "who asks"
