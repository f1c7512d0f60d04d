"""Whatever a study file holds: it is refused in words, or planned and means what it says."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from study_files import ACCEPTED, BY_HAND, FULL, ROOT, at, damaged, mutations

from attnbench import rerun
from attnbench.check import check_study, load_study, refuse_output
from attnbench.errors import StudyError
from attnbench.reporting.contents import figure_names, table_names
from attnbench.shift.kinds import requested_kinds
from attnbench.study.reading import MOST_VALUES, RefusedYaml, parse_yaml

SHARE = 29  # of the mutations, one in so many is tried in every run of the tests
ENDLESS = 60  # seconds, far more than any of them takes


@contextmanager
def ends() -> Iterator[None]:
    """Fail where what is within does not end."""

    def stop(*_: object) -> None:
        raise AssertionError(f"no end within {ENDLESS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(ENDLESS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(action, *arguments) -> str | None:
    """What is said where a study is refused, checked to be fit for a person; None if it is not."""
    with ends():
        try:
            action(*arguments)
        except StudyError as error:
            said = str(error)
            assert "Traceback" not in said and 10 < len(said) < 20_000
            assert said.replace("\n", "").isprintable(), repr(said)
            return said
    return None


def planned(study) -> None:
    """All that the Snakefile asks a study for, without Snakemake."""
    refuse_output(study)
    paths = [study.layout.scores, *(study.layout.shift(kind) for kind in requested_kinds(study))]
    paths += [study.layout.run(run) for run in study.runs()]
    paths += [study.layout.tables / name for name in table_names(study)]
    paths += [study.layout.figures / name for name in figure_names(study)]
    assert all(not set("{}\n\0") & set(str(path)) for path in paths)
    assert len(set(paths)) == len(paths)
    for verb in ("tables", "gather", "analyse"):
        rerun.decides(study, verb)
    for data in study.trained_datasets:
        rerun.decides(study, "folds", data.name)
        for model in study.trained_models:
            json.loads(rerun.decides(study, "train", data.name, model.name))
    # What jobs read is what was checked.
    again = check_study(yaml.safe_load(study.to_yaml()))
    assert again == study


def means(given, got) -> bool:
    """True where a study has taken a value as it was written."""
    if isinstance(given, bool) or isinstance(got, bool):
        return given is got
    if isinstance(got, dict) and isinstance(given, str):
        return given in got.values() or got.get("set") == given
    if isinstance(given, str) and isinstance(got, int | float):
        return float(given) == got
    if isinstance(got, list) and not isinstance(given, list):
        return len(got) == 1 and means(given, got[0])
    if isinstance(given, list) and isinstance(got, list):
        return len(given) == len(got) and all(map(means, given, got))
    if isinstance(given, dict) and isinstance(got, dict):
        return all(key in got and means(value, got[key]) for key, value in given.items())
    if isinstance(given, str) and isinstance(got, str):
        return Path(given) == Path(got) or given.strip() == got
    return given == got


def try_mutation(changed, place, value) -> str:
    """`refused` or `planned`; fails where a study is accepted and means something else."""
    taken = []

    def check() -> None:
        study = check_study(changed)
        planned(study)
        taken.append(study)

    if refusal(check) is not None:
        return "refused"
    # As it was written: defaults of the catalog and of controls are added where nothing was said.
    written = taken[0].model_dump(mode="json")
    flip = ("training", "augmentation", "flip")  # the dataset's own axes come before
    if (
        value is None
        or value == {}
        or place[:3] == flip
        or place[0] in ("controls", "models", "metrics")
    ):
        return "planned"
    assert means(value, at(written, place)), (place, value, at(written, place))
    return "planned"


EVERY = list(mutations())


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_full_study_is_planned():
    planned(check_study(FULL))


@pytest.mark.parametrize("name", BY_HAND)
def test_a_file_by_hand_is_refused_with_line_and_advice(name, tmp_path):
    data, fragments = BY_HAND[name]
    path = tmp_path / "mine.yaml"
    path.write_bytes(data)
    said = refusal(load_study, path)
    assert said is not None and str(path) in said
    assert [fragment for fragment in fragments if fragment not in said] == [], said
    assert not Path("owned").exists()


@pytest.mark.parametrize("name", ACCEPTED)
def test_other_ways_to_write_a_study_mean_the_same(name, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(ACCEPTED[name])
    study = load_study(path)
    assert (study.name, [model.name for model in study.models]) == ("s", ["unet"])


@pytest.mark.parametrize("mutation", EVERY[::SHARE], ids=lambda item: item[0][:80])
def test_a_share_of_all_mutations(mutation):
    try_mutation(*mutation[1:])


def test_a_share_of_all_accidents(tmp_path):
    for name, data in damaged(60):
        path = tmp_path / "mine.yaml"
        path.write_bytes(data)
        said = refusal(lambda path=path: planned(load_study(path)))
        assert said is None or str(path) in said, name


@pytest.mark.robust
@pytest.mark.parametrize("part", range(16))
def test_every_mutation(part):
    found = [try_mutation(*mutation[1:]) for mutation in EVERY[part::16]]
    assert {"refused", "planned"} == set(found)


@pytest.mark.robust
@pytest.mark.parametrize("seed", range(1, 9))
def test_every_accident(seed, tmp_path):
    for name, data in damaged(300, seed):
        path = tmp_path / "mine.yaml"
        path.write_bytes(data)
        said = refusal(lambda path=path: planned(load_study(path)))
        assert said is None or str(path) in said, name


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*FULL]), values)
def test_any_value_of_any_key_is_refused_or_planned(key, value):
    refusal(lambda: planned(check_study({**FULL, key: value})))


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(plain)
def test_what_is_written_as_yaml_is_read_as_it_was(value):
    """PyYAML's own writer quotes what is ambiguous: nothing that it writes is refused."""
    if value in (None, "", [], {}):
        return
    assert parse_yaml(yaml.safe_dump(value)) == value


@settings(max_examples=200, deadline=None)
@given(st.text("ab:{}[]&*!<>|-?,#'\"\n \t~%@01.", max_size=60))
def test_any_text_is_read_as_pyyaml_reads_it_or_refused(text):
    try:
        ours = parse_yaml(text)
    except RefusedYaml as error:
        assert 5 < len(str(error)) < 1000
    else:
        assert ours == yaml.load(text, Loader=yaml.CSafeLoader)


def test_aliases_are_counted_wherever_they_stand():
    """By the closed formula: ten times as many with every level."""
    lines = [f"a0: &a0 [{', '.join('x' * 9)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 4)]
    count, of_level = 1, 10
    for _ in range(4):
        count += 1 + of_level  # the key, and what stands behind it
        of_level = 1 + 10 * of_level
    assert parse_yaml("\n".join(lines)) and count < MOST_VALUES
    more = [f"b{n}: *a3" for n in range((MOST_VALUES - count) // (1 + (of_level - 1) // 10))]
    assert parse_yaml("\n".join(lines + more))
    with pytest.raises(RefusedYaml, match=f"more than {MOST_VALUES} values"):
        parse_yaml("\n".join([*lines, *more, "c: *a3"]))


def test_a_pipe_is_not_waited_for_and_a_device_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, kind in (
        (tmp_path / "pipe.yaml", "a pipe"),
        (Path("/dev/zero"), "a device"),
        (tmp_path, "a folder"),
    ):
        said = refusal(load_study, path)
        assert said is not None and kind in said


def dry_run(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-c", "from attnbench.cli import main; main()"),
            *("run", str(path), "--dry-run", "--", "--quiet", "all"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def refused_in_words(run: subprocess.CompletedProcess[str]) -> bool:
    assert "Traceback" not in run.stdout, run.stdout
    assert run.returncode == 0 or "error: " in run.stdout, run.stdout
    return run.returncode != 0


@pytest.mark.robust
@pytest.mark.parametrize("name", [*BY_HAND, *ACCEPTED])
def test_snakemake_is_not_started_on_files_that_are_refused(name, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(BY_HAND[name][0] if name in BY_HAND else ACCEPTED[name])
    assert refused_in_words(dry_run(Path("mine.yaml"), tmp_path)) == (name in BY_HAND)
    assert not (tmp_path / "owned").exists()


@pytest.mark.robust
@pytest.mark.parametrize("mutation", EVERY[7::211], ids=lambda item: item[0][:80])
def test_snakemake_plans_what_is_accepted(mutation, tmp_path):
    _, changed, *_ = mutation
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(changed, allow_unicode=True), "utf-8")
    refused = refusal(lambda: refuse_output(load_study(tmp_path / "mine.yaml"))) is not None
    assert refused_in_words(dry_run(Path("mine.yaml"), tmp_path)) == refused
