"""What fsspec itself asks of a file system that is read; and that nothing is ever written."""

import pytest
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

import neurofetch.opening.filesystem as filesystem
from neurofetch.errors import ReadOnlyError


class _Writer:
    """Fills the bucket: the file system under test cannot."""

    def __init__(self, s3):
        self._s3 = s3

    def touch(self, path):
        self.pipe(path, b"")

    def makedirs(self, path):
        """A bucket has no folders but those of its keys."""

    def pipe(self, path, value):
        self._s3.put(path.removeprefix("b/"), value)


class _Filling(filesystem.NeurofetchFileSystem):
    """The file system, for a test that makes its own files: those go straight to the bucket."""

    s3 = None

    def mkdir(self, path, *_, **__):
        """A bucket has no folders but those of its keys."""

    def touch(self, path, *_, **__):
        self.s3.put(path.removeprefix("b/"), b"")


class TestGet(AbstractFixtures, AbstractGetTests):
    """fsspec's own tests of copies to this machine, folders and globs included."""

    @pytest.fixture
    def fs(self, world):
        made = _Filling(skip_instance_cache=True)
        made.s3 = world.s3
        return made

    @pytest.fixture
    def fs_path(self):
        return "b/here"

    @pytest.fixture
    def supports_empty_directories(self):
        return False

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, world, fs_join, fs_path):
        return self._bulk_operations_scenario_0(_Writer(world.s3), fs_join, fs_path)

    @pytest.fixture
    def fs_glob_edge_cases_files(self, world, fs_join, fs_path):
        return self._glob_edge_cases_files(_Writer(world.s3), fs_join, fs_path)

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, world, fs_join, fs_path):
        return self._dir_and_file_with_same_name_prefix(_Writer(world.s3), fs_join, fs_path)

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, world, fs_join, fs_path):
        return self._10_files_with_hashed_names(_Writer(world.s3), fs_join, fs_path)


def _writing():
    return {
        "open-w": lambda fs: fs.open("b/a", "w"),
        "open-wb": lambda fs: fs.open("b/a", "wb"),
        "open-ab": lambda fs: fs.open("b/a", "ab"),
        "open-xb": lambda fs: fs.open("b/a", "xb"),
        "open-r+b": lambda fs: fs.open("b/a", "r+b"),
        "mkdir": lambda fs: fs.mkdir("b/x"),
        "makedir": lambda fs: fs.makedir("b/x"),
        "makedirs": lambda fs: fs.makedirs("b/x", exist_ok=True),
        "mkdirs": lambda fs: fs.mkdirs("b/x"),
        "rmdir": lambda fs: fs.rmdir("b/x"),
        "rm": lambda fs: fs.rm("b/a", recursive=True),
        "rm_file": lambda fs: fs.rm_file("b/a"),
        "delete": lambda fs: fs.delete("b/a"),
        "cp": lambda fs: fs.cp("b/a", "b/c"),
        "copy": lambda fs: fs.copy("b/a", "b/c"),
        "cp_file": lambda fs: fs.cp_file("b/a", "b/c"),
        "mv": lambda fs: fs.mv("b/a", "b/c"),
        "move": lambda fs: fs.move("b/a", "b/c"),
        "rename": lambda fs: fs.rename("b/a", "b/c"),
        "put": lambda fs: fs.put(__file__, "b/c"),
        "put_file": lambda fs: fs.put_file(__file__, "b/c"),
        "upload": lambda fs: fs.upload(__file__, "b/c"),
        "pipe": lambda fs: fs.pipe("b/c", b"1"),
        "pipe-many": lambda fs: fs.pipe({"b/c": b"1"}),
        "pipe_file": lambda fs: fs.pipe_file("b/c", b"1"),
        "write_bytes": lambda fs: fs.write_bytes("b/c", b"1"),
        "write_text": lambda fs: fs.write_text("b/c", "1"),
        "touch": lambda fs: fs.touch("b/c"),
        "transaction": lambda fs: fs.start_transaction(),
    }


@pytest.mark.parametrize("act", _writing().values(), ids=_writing().keys())
def test_whatever_would_write_is_an_error_that_says_so_and_asks_no_server(world, act):
    world.put("a", b"1")
    fs = filesystem.NeurofetchFileSystem(skip_instance_cache=True)
    with pytest.raises(
        ReadOnlyError, match=r"neurofetch only reads from servers\. Nothing was"
    ) as e:
        act(fs)
    assert isinstance(e.value, PermissionError)
    assert isinstance(e.value, ValueError)
    assert world.s3.requests() == []
