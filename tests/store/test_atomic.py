"""A whole file takes the place of a file, and of nothing else."""

import os
import socket
import stat

import pytest

from neurofetch.store.atomic import is_draft, replacing, write_atomically


def placed(kind, folder):
    """Put something that is no file into a folder, and return its path."""
    path = folder / "there.bin"
    target = folder / "target" if kind.startswith("link") else path
    if kind.endswith("pipe"):
        os.mkfifo(target)
    elif kind.endswith("socket"):
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(target))
    else:
        target = "/dev/null"
    if target != path:
        path.symlink_to(target)
    return path


@pytest.mark.parametrize(
    "kind", ["pipe", "socket", "link to a pipe", "link to a socket", "link to a device"]
)
def test_a_device_pipe_or_socket_is_never_replaced(kind, tmp_path):
    """The class: who may write the folder, as root /dev, would take it away from everybody."""
    path = placed(kind, tmp_path)
    before, there = path.lstat(), set(os.listdir(tmp_path))
    with pytest.raises(OSError, match="a device, pipe or socket is there"):
        write_atomically(path, b"x")
    with (
        pytest.raises(OSError, match="a device, pipe or socket is there"),
        replacing(path, private=True),
    ):
        pytest.fail("it was to be replaced")
    assert os.path.samestat(path.lstat(), before)
    assert set(os.listdir(tmp_path)) == there


@pytest.mark.parametrize("target", ["file", "nothing", "itself"])
def test_a_file_or_a_link_that_leads_to_one_or_nowhere_is_replaced(target, tmp_path):
    (tmp_path / "file").write_bytes(b"of another")
    path = tmp_path / "there"
    path.symlink_to({"itself": "there"}.get(target, target))
    write_atomically(path, b"x")
    assert stat.S_ISREG(path.lstat().st_mode)
    assert path.read_bytes() == b"x"
    assert (tmp_path / "file").read_bytes() == b"of another"


@pytest.mark.parametrize("name", ["x", "a b.parquet", ".x", "12-00aabbccddee.x", "größe\n"])
def test_a_draft_is_told_by_its_name(name, tmp_path):
    path = str(tmp_path / name)
    with replacing(path) as draft:
        assert is_draft(draft, path)
        for other in (path, f"{draft}x", path + path, f"{path}y", str(tmp_path / f".7-ab.{name}")):
            assert not is_draft(other, path)
        assert not is_draft(draft, str(tmp_path / "a" / name))
