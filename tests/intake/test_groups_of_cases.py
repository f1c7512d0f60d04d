"""Groups from names, tables and flags: found where beyond doubt, asked for otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.intake.groups import find_groups


def cases(*paths):
    return {path.rsplit("/", 1)[-1].split(".")[0]: path for path in paths}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("images/patient{:02d}_img{}.png", "patient{:02d}"),
        ("P{:02d}-{}.png", "p{:02d}"),
        ("sub-{:02d}/x/sub-{:02d}_sample-{}.png", "sub-{:02d}"),
        ("Slide_{}_tile{}.tif", "slide_{}"),
        ("mouse{}_section{}.tif", "mouse{}"),
        ("a{}/scan{}-{}.png", "a{}"),
        ("x{:03d}_{}.png", "x{:03d}"),
    ],
)
def test_a_pattern_that_explains_every_name_gives_the_groups(name, group):
    places = name.count("{")
    paths = {}
    for unit in range(1, 5):
        for number in range(1, 4):
            values = (unit, unit, number)[3 - places :] if places < 3 else (unit, unit, number)
            paths[name.format(*values)] = group.format(unit)
    found = find_groups({path: path for path in paths}, None)
    assert dict(found.of) == paths
    assert not found.problems
    assert found.inferred
    assert found.guesses[0].what == "groups"


def test_both_eyes_are_of_one_child():
    found = find_groups(cases(*(f"Image_{n:02d}{side}.jpg" for n in range(9) for side in "LR")),
                        None)  # fmt: skip
    assert len(set(found.of.values())) == 9
    assert found.of["Image_03L"] == found.of["Image_03R"]


@pytest.mark.parametrize(
    "paths",
    [
        [f"{n:04d}.png" for n in range(20)],
        [f"img_{n}.png" for n in range(20)],  # one group would hold all
        [f"{n * 7919:08x}.png" for n in range(20)],
        [*(f"P{n:02d}_{m}.png" for n in range(5) for m in range(3)), "other.png"],
    ],
)
def test_names_that_do_not_tell_are_asked_about(paths):
    found = find_groups(cases(*paths), None)
    (problem,) = found.problems
    for flag in ("REGEX", "FILE.csv", "--groups case", "--groups unknown"):
        assert flag in problem.flag


def test_unknown_and_case_are_different_things():
    names = cases("a.png", "b.png")
    unknown, said = find_groups(names, "unknown"), find_groups(names, "case")
    assert (unknown.how, dict(unknown.of)) == ("unknown", {"a": "a", "b": "b"})
    assert said.how != "unknown"
    assert not said.inferred


def test_a_pattern_is_obeyed_or_refused():
    names = cases("x/a1_1.png", "x/a1_2.png", "x/b2_1.png")
    assert find_groups(names, r"x/(\w\d)_").of == {"a1_1": "a1", "a1_2": "a1", "b2_1": "b2"}
    assert find_groups(names, r"(?P<group>[ab])(\d)").of["b2_1"] == "b"
    for pattern, words in (("(", "no regular expression"), ("a", "needs one"), ("(a)", "match")):
        (problem,) = find_groups(names, pattern).problems
        assert words in problem.text
    assert problem.files == ("x/b2_1.png",)


TABLES = {
    "case,group\na,1\nb,1\nc,2\n": None,
    "image;patient;site\na.png;1;x\nb.png;1;y\nc.png;2;x\n": None,
    "\ufefffilename\tsubject\nd/a.png\t1\nd/b.png\t1\nd/c.png\t2\n": None,
    "case,group\na,1\nb,1\n": ("no row", ("c",)),
    "case,group\na,1\nb,\nc,2\n": ("have no group", ("b",)),
    "case,group\na,1\na,2\nb,1\nc,1\n": ("two groups", ("a",)),
    "case,group\na,1\nb,1\nc,2\nzz,3\n": ("name no case", ("zz",)),
    "who,what\na,1\n": ("has the columns who, what", ()),
    "case,group\n": ("needs case", ()),
    "": ("needs case", ()),
}


@pytest.mark.parametrize("text", TABLES)
def test_a_table_gives_groups_and_labels_or_says_every_bad_row(tmp_path, text):
    table = tmp_path / "groups.csv"
    table.write_text(text, encoding="utf-8")
    found = find_groups(cases("d/a.png", "d/b.png", "d/c.png"), str(table))
    if TABLES[text] is None:
        assert not found.problems
        assert found.of == {"a": "1", "b": "1", "c": "2"}
        if "site" in text:
            assert found.labels == {"a": {"site": "x"}, "b": {"site": "y"}, "c": {"site": "x"}}
    else:
        words, files = TABLES[text]
        assert any(words in problem.text and problem.files == files for problem in found.problems)


def test_a_table_that_is_not_there(tmp_path):
    (problem,) = find_groups(cases("a.png"), str(tmp_path / "no.csv")).problems
    assert "cannot be read" in problem.text


letters = st.characters(categories=["L", "N", "P"], exclude_characters="/")
names_of_files = st.lists(st.text(letters, min_size=1, max_size=12), min_size=1, unique=True)


@given(names_of_files)
def test_every_case_has_a_group_whatever_the_names(names):
    found = find_groups({name: f"images/{name}.png" for name in names}, None)
    assert set(found.of) == set(names)
    assert all(found.of.values())


def test_a_pattern_is_shown_as_it_was_typed():
    typed = r"(sub-\d+)"
    for cases_of in ({"a": "images/a.png"}, {"sub-1": "sub-1.png"}):
        found = find_groups(cases_of, typed)
        assert f"'{typed}'" in (found.problems[0].text if found.problems else found.how)


def test_without_any_case_no_names_are_quoted():
    (problem,) = find_groups({}, None).problems
    assert "no case was found" in problem.text
    assert "(none)" not in problem.text
