"""Files of own code as users have them: packages without `__init__`, two of one name, libraries."""

import sys
import sysconfig

import pytest

from attnbench.errors import OwnCodeError
from attnbench.own import fingerprint, load

NET = "class Net:\n    width = 4\n"
LIBRARY = f"fast_parts{sysconfig.get_config_var('EXT_SUFFIX')}"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file below a fresh working directory; modules imported from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def written(path, content):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    yield written
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("imports", "part"),
    [
        ("from namespace import parts", "namespace/parts.py"),
        ("from . import parts", "namespace/parts.py"),
        ("import namespace.deep.parts as short", "namespace/deep/parts.py"),
        ("from .deep.parts import *", "namespace/deep/parts.py"),
        ("try:\n    import absent\nexcept ImportError:\n    import spare", "spare.py"),
        ("def later():\n    import spare", "spare.py"),
        ("try:\n    import fast_parts\nexcept ImportError:\n    pass", LIBRARY),
    ],
)
def test_every_form_of_import_is_followed_and_nothing_else(write, imports, part):
    write("namespace/net.py", f"{imports}\n{NET}")
    write("namespace/other.py", "w = 1\n")
    write(part, "w = 1\n")
    before = fingerprint("namespace.net.Net")
    write("namespace/other.py", "w = 2\n")
    assert fingerprint("namespace.net.Net") == before
    write(part, "w = 2\n")
    assert fingerprint("namespace.net.Net") != before
    assert load("namespace.net.Net", fingerprint("namespace.net.Net")).width == 4


@pytest.mark.parametrize(
    "content",
    [
        NET.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + NET.encode(),
        b"# -*- coding: latin-1 -*-\n# \xe9\n" + NET.encode(),
    ],
    ids=["line ends of Windows", "byte order mark", "latin-1"],
)
def test_the_bytes_of_a_file_do_not_count(write, content):
    write("my nets/a net.py", NET)
    before = fingerprint("./my nets/a net.py:Net")
    write("my nets/a net.py", content)
    assert fingerprint("./my nets/a net.py:Net") == before
    assert load("./my nets/a net.py:Net", before).width == 4


def test_files_of_one_name_in_two_folders_have_neighbours_of_their_own(write):
    for folder in ("one", "two"):
        write(f"{folder}/net.py", "from layers import where\nclass Net:\n    place = where\n")
        write(f"{folder}/layers.py", f"where = '{folder}'\n")
    planned = {folder: fingerprint(f"./{folder}/net.py:Net") for folder in ("one", "two")}
    assert planned["one"] != planned["two"]
    for folder in ("one", "two", "one"):
        assert load(f"./{folder}/net.py:Net", planned[folder]).place == folder


def test_a_neighbour_comes_before_an_installed_package_as_for_a_script(write):
    write("mine/net.py", "from yaml import where\nclass Net:\n    place = where\n")
    write("mine/yaml.py", "where = 'here'\n")
    installed = sys.modules.pop("yaml", None)
    before = fingerprint("./mine/net.py:Net")
    assert load("./mine/net.py:Net", before).place == "here"
    write("mine/yaml.py", "where = 'still here'\n")
    assert fingerprint("./mine/net.py:Net") != before
    if installed:
        sys.modules["yaml"] = installed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("from . import parts\n", "a file of a package is named by its dotted path"),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--x'])\n", "SystemExit"),
        ("import no_such_package\n", "No module named 'no_such_package'"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_why(write, content, said):
    write("mine.py", content + NET)
    with pytest.raises(OwnCodeError) as refusal:
        load("./mine.py:Net")
    assert said in str(refusal.value)
