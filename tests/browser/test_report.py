"""The report of real runs as a reader meets it: three widths, light and dark, by keyboard, on
paper.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.browser

looks = pytest.mark.parametrize(
    ("width", "scheme"),
    [(width, scheme) for width in (390, 820, 1440) for scheme in ("light", "dark")],
)


def overflow(page) -> int:
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def brightness(colour: str) -> int:
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def cells(page, table: str, place: int) -> list[str]:
    """The texts of one column of a table, rows that are filtered out left out."""
    return page.locator(
        f"#rows-{table} tbody tr:visible td:nth-child({place + 1})"
    ).all_inner_texts()


def numbers(page, table: str, place: int) -> list[float]:
    return [
        float(re.match(r"[−\d.]+", text)[0].replace("−", "-")) for text in cells(page, table, place)
    ]


@looks
def test_nothing_overflows_and_everybody_can_read_it(visit, violations, report, width, scheme):
    page = visit(report, width, scheme).page
    assert overflow(page) == 0
    assert violations(page) == []
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("color", "backgroundColor")
    )
    assert (brightness(ink) > brightness(paper)) is (scheme == "dark")


def test_the_answer_and_the_main_figure_are_on_the_first_screen(visit, report):
    page = visit(report).page
    for part in (".verdict", ".lead >> nth=1", "aside", "#figure-effects img"):
        assert page.locator(part).bounding_box()["y"] < 800


def test_every_link_leads_somewhere(visit, report):
    page = visit(report).page
    links = page.locator("a[href]")
    addresses = links.evaluate_all("links => links.map(link => link.getAttribute('href'))")
    inside = [address for address in addresses if address.startswith("#")]
    assert len(inside) > 10
    for address in inside:
        page.locator(f"a[href='{address}']").first.evaluate("link => link.click()")
        assert -1 <= page.locator(address).bounding_box()["y"] < 900, address
    files = [address for address in addresses if not address.startswith(("#", "data:"))]
    assert all((report.parent / address).is_file() for address in files)


def test_every_figure_downloads_as_the_pdf_of_the_study(visit, report):
    page = visit(report).page
    links = page.locator("a[download]").all()
    assert len(links) == len(list(report.parent.glob("figures/*.pdf")))
    for link in links:
        with page.expect_download() as started:
            link.click()
        content = Path(started.value.path()).read_bytes()
        assert content.startswith(b"%PDF-")
        assert (
            content == (report.parent / "figures" / started.value.suggested_filename).read_bytes()
        )


def test_tables_sort_by_mouse_and_by_keyboard(visit, report):
    page = visit(report).page
    header = page.locator("#rows-comparison th").nth(2)
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    values = numbers(page, "comparison", 2)
    assert values == sorted(values) and len(values) == 6
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert numbers(page, "comparison", 2) == values[::-1]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    names = cells(page, "comparison", 1)
    assert names == sorted(names) and header.get_attribute("aria-sort") is None


def test_tables_filter_while_one_types(visit, report):
    page = visit(report).page
    field = page.locator("[data-filter='rows-per_class']")
    before = len(cells(page, "per_class", 0))
    field.press_sequentially("squeeze 3-d")
    kept = list(zip(cells(page, "per_class", 0), cells(page, "per_class", 1), strict=True))
    assert 0 < len(kept) < before
    assert all("3-D" in dataset and model == "Squeeze-excitation" for dataset, model in kept)
    field.fill("")
    assert len(cells(page, "per_class", 0)) == before


def test_a_figure_opens_large_and_closes_by_keyboard(visit, report):
    page = visit(report, 820).page
    button = page.get_by_role("button", name="Enlarge figure effects")
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#large").is_visible()
    small, large = (
        page.locator(part).bounding_box()["width"] for part in ("#figure-effects img", "#large img")
    )
    assert large > small
    page.keyboard.press("Escape")
    assert page.locator("#large").is_hidden()
    assert button.evaluate("button => button === document.activeElement")


def test_what_has_the_focus_is_seen(visit, report):
    page = visit(report).page
    for _ in range(25):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "(({outlineStyle, outlineWidth}) => [outlineStyle, "
            "outlineWidth])(getComputedStyle(document.activeElement))"
        )
        assert style == ["solid", "3px"]


def test_cases_are_chosen_by_dataset_model_and_gain(visit, report):
    page = visit(report).page
    browser, choose = page.locator("#browser"), page.locator("#browser form")
    choose.get_by_label("Dataset").select_option("Phantom 3-D")
    choose.get_by_label("Sorted by gain of").select_option("Squeeze-excitation")
    options = choose.get_by_label("Case").locator("option").all_inner_texts()
    scores = pd.read_csv(report.parent / "scores.csv").query(
        "dataset == 'phantom3d' and metric == 'dice'"
    )
    table = scores.pivot_table(index="case", columns="model", values="value")
    gains = (table["squeeze_excitation"] - table["unet"]).sort_values(ascending=False)
    assert [float(text.split()[0].replace("−", "-")) for text in options] == pytest.approx(
        list(gains), abs=6e-4
    )
    best = gains.index[0]
    assert best in browser.locator(".said").inner_text()
    assert browser.locator(".panels figcaption strong").all_inner_texts() == [
        "Image", "Reference", "U-Net", "Attention gate", "Squeeze-excitation",
    ]  # fmt: skip
    shown = browser.locator(".panels figcaption").last.inner_text()
    assert (
        shown == f"Squeeze-excitation {table.loc[best, 'squeeze_excitation']:.3f} "
        f"({options[0].split()[0]})"
    )
    assert all(
        browser.locator("img").evaluate_all(
            "images => images.map(image => image.naturalWidth > 20)"
        )
    )


def test_cases_are_walked_through_by_keyboard(visit, report):
    page = visit(report).page
    browser = page.locator("#browser")
    said = browser.locator(".said")
    first = said.inner_text()
    browser.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    second = said.inner_text()
    assert second != first
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert said.inner_text() == first
    assert (
        browser.locator(".mask").first.is_visible()
        and browser.locator(".outline").first.is_hidden()
    )
    browser.get_by_label("Masks").focus()
    page.keyboard.press("Space")
    browser.get_by_label("Outline of the reference").check()
    assert (
        browser.locator(".mask").first.is_hidden()
        and browser.locator(".outline").first.is_visible()
    )


def test_without_script_the_cases_chosen_by_rule_are_there(visit, report):
    page = visit(report, java_script_enabled=False).page
    assert page.locator("#browser").is_hidden()
    assert page.locator("#figure-cases_phantom2d img").is_visible()
    page.locator("summary").first.click()
    assert page.locator(".notes li").first.is_visible()


def test_print_shows_everything_and_no_controls(visit, report):
    page = visit(report).page
    page.emulate_media(media="print")
    for part in ("nav", ".filter", ".choose", "summary"):
        assert page.locator(part).first.is_hidden(), part
    notes = page.locator(".notes ul")
    assert all(box["height"] > 10 for box in (each.bounding_box() for each in notes.all()))
    for table in page.locator(".scroll:has(table)").all():
        assert table.evaluate("box => box.scrollHeight - box.clientHeight") <= 1
    assert page.pdf(format="A4").startswith(b"%PDF-")


def test_the_page_is_small_enough_to_send(report):
    assert report.stat().st_size < 15_000_000


def test_one_model_is_said_and_nothing_breaks(visit, violations, reported_again):
    page = visit(reported_again(models=["unet"]), 390).page
    assert page.locator(".verdict").inner_text() == "No answer yet"
    assert "No comparison: the study has U-Net alone." in page.locator("#answer").inner_text()
    assert page.locator("#browser .panels figure").count() == 3
    assert (
        "Shift" in page.locator("nav").inner_text()
        and "did not ask for" in page.locator("#shift").inner_text()
    )
    assert overflow(page) == 0 and violations(page) == []


def test_lost_runs_are_said_on_the_first_screen(visit, violations, reported_again):
    page = visit(reported_again(lost=["phantom3d/squeeze_excitation/fold0-seed0"]), 820).page
    assert (
        "Phantom 3-D: runs not finished and left out: Squeeze-excitation (1 of 1)"
        in page.locator("aside").inner_text()
    )
    page.locator("#browser").get_by_label("Dataset").select_option("Phantom 3-D")
    assert (
        page.locator("#browser .panels figcaption").last.inner_text()
        == "Squeeze-excitation no prediction"
    )
    assert overflow(page) == 0 and violations(page) == []


def test_without_a_scored_baseline_there_is_no_effect_and_no_error(
    visit, violations, reported_again
):
    lost = [f"{dataset}/unet/fold0-seed0" for dataset in ("phantom2d", "phantom3d")]
    page = visit(reported_again(lost=lost)).page
    assert page.locator(".verdict").inner_text() == "No answer yet"
    assert (
        "no model and the baseline have been scored on the same cases"
        in page.locator("#answer").inner_text()
    )
    data = json.loads(page.locator("#case-data").text_content())
    assert all(
        gain is None
        for dataset in data["datasets"]
        for case in dataset["cases"]
        for gain in case["gains"]
    )
    assert overflow(page) == 0 and violations(page) == []
