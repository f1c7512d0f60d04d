"""Case names that look like numbers stay the names that they are."""

from __future__ import annotations

from attnbench.analysis.blocks import arrange, read_scores
from attnbench.scoring.definitions import SCORE_COLUMNS


def test_case_and_group_of_digits_keep_their_zeros(tmp_path):
    rows = [
        dict(
            zip(
                SCORE_COLUMNS,
                ("d", "unet", 0, 0, case, case, 1, "dice", 0.5, "1", "ok"),
                strict=True,
            )
        )
        for case in ("01", "002", "10")
    ]
    path = tmp_path / "scores.csv"
    lines = [
        ",".join(SCORE_COLUMNS),
        *(",".join(str(row[key]) for key in SCORE_COLUMNS) for row in rows),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    scores = read_scores(path)
    assert sorted(scores["case"].astype(str)) == ["002", "01", "10"]
    (block,) = arrange(scores, ["d"], ["unet"], ["dice"])
    assert set(block.cases) == set(block.groups) == {"01", "002", "10"}
    assert block.units == ("1",)
