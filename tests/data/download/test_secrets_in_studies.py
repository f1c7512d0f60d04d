"""A study is kept beside its results and shown: it has no passwords."""

from __future__ import annotations

import pytest

from attnbench.check import check_study
from attnbench.errors import StudyError

BASE = {
    "name": "s",
    "datasets": [{"name": "phantom2d", "patch": [16, 16]}],
    "models": [{"name": "unet"}],
}


@pytest.mark.parametrize(
    "address",
    [
        "https://me:hidden-word@example.org/a",
        "https://hidden-word@example.org/a",
        "https://example.org/a?token=hidden-word",
        "https://me:hidden/word@example.org/a",
    ],
)
@pytest.mark.parametrize("key", ["mirror", "mirrors"])
def test_a_mirror_with_a_secret_is_refused_without_saying_it(address, key):
    data = {"mirror": address} if key == "mirror" else {"mirrors": {"retina_drive": address}}
    with pytest.raises(StudyError, match=rf"data\.{key}.*\.netrc") as refused:
        check_study(BASE | {"data": data}, "my.yaml")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["https://example.org/a", "http://[::1]:80", "~/a@b", "/a?b", "https://a..b/"]
)
def test_other_mirrors_are_kept_as_they_are(address):
    study = check_study(BASE | {"data": {"mirror": address}}, "my.yaml")
    assert study.data.mirror == address and address in study.to_yaml()
