"""Servers, archives, addresses and names that nobody means well with: never a wrong byte, never a
traceback, never without end. `tests/data/download` has a share of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from downloads import HASTY, archive_is_safe, fault_is_survived, mirror_is_survived, name_is_safe
from hostile_archives import ADDRESSES, ARCHIVES, NAMES
from hostile_servers import FAULTS

pytestmark = pytest.mark.robust


@pytest.fixture(autouse=True)
def _no_mirror_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNBENCH_MIRROR", raising=False)


@pytest.mark.parametrize("kind", ["files", "archive"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_server(tmp_path: Path, name: str, kind: str) -> None:
    fault_is_survived(tmp_path, FAULTS[name], kind)


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive(tmp_path: Path, name: str) -> None:
    archive_is_safe(tmp_path, ARCHIVES[name]())


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("address", ADDRESSES, ids=ascii)
def test_an_address(
    tmp_path: Path, address: str, offline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    mirror_is_survived(tmp_path, address, offline, caplog)


@pytest.mark.parametrize("names", NAMES, ids=ascii)
def test_a_name_in_a_list_of_files(tmp_path: Path, names: str) -> None:
    name_is_safe(tmp_path, names.split("|"))


def test_patience_is_short_here() -> None:
    """What is waited for is said by `Patience`: the tests above end in time because of it."""
    assert HASTY.seconds_for(10**6) < 10
