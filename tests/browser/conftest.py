"""A small study from real runs, its report, and Debian's Chromium to open it in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attnbench.analysis.run import analyse_study
from attnbench.check import check_study
from attnbench.cli import app
from attnbench.files import write_text
from attnbench.reporting.figures import draw_figure
from attnbench.reporting.page import write_report
from attnbench.scoring.gather import gather_scores
from attnbench.study.reading import read_yaml
from sealing import seal_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

STUDY = Path(__file__).with_name("small.yaml")
DRAWN = ("effects", "scores", "corruption", "cases_phantom2d", "slices_phantom3d")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, (
        f"none of {', '.join(BROWSERS)} is installed: make test-report, or apt-get install chromium"
    )
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


class Visit:
    """One page, everything it complained about, and every request it made for what is not inside
    it.
    """

    def __init__(self, context: BrowserContext, report: Path) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._seen)
        self.address = report.as_uri()
        self.page.goto(self.address)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _seen(self, request: Request) -> None:
        if request.url.partition("#")[0] != self.address and not request.url.startswith(
            ("data:", "blob:")
        ):
            self.requests.append(request.url)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """`visit(report, width=1440, scheme="light", ...)` opens a report, which must complain of
    and ask for nothing.
    """
    opened: list[tuple[BrowserContext, Visit]] = []

    def open_report(
        report: Path, width: int = 1440, scheme: str = "light", **settings: object
    ) -> Visit:
        size = {"width": width, "height": 900}
        context = browser.new_context(
            viewport=size, color_scheme=scheme, accept_downloads=True, **settings
        )
        opened.append((context, Visit(context, report)))
        return opened[-1][1]

    yield open_report
    for context, one in opened:
        assert one.complaints == [] and one.requests == []
        context.close()


@pytest.fixture
def violations() -> Callable[[Page], list[str]]:
    """`violations(page)`: what axe-core finds serious or critical, with the first element of
    each.
    """
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()

    def found(page: Page) -> list[str]:
        every = axe.run(page).response["violations"]
        grave = (each for each in every if each["impact"] in ("serious", "critical"))
        return [f"{each['id']}: {each['nodes'][0]['html'][:300]}" for each in grave]

    return found


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of `small.yaml` after the commands of the workflow; some figures are not
    drawn.
    """
    output = tmp_path_factory.mktemp("small")
    study = check_study(read_yaml(STUDY) | {"output": str(output)})
    write_text(study.layout.study, study.to_yaml())

    def attnbench(*words: object) -> None:
        app([*map(str, words), "--study", str(study.layout.study)], standalone_mode=False)

    for part in study.datasets:
        for verb in ("fetch", "prepare", "folds"):
            attnbench(verb, "--dataset", part.name)
        for model in study.models:
            attnbench("describe", "--dataset", part.name, "--model", model.name)
    for run in study.runs():
        which = (
            "--dataset",
            run.dataset,
            "--model",
            run.model,
            "--fold",
            run.fold,
            "--seed",
            run.seed,
        )
        for verb in (("train",), ("predict",), ("score",), ("score-shift", "corrupted")):
            attnbench(*verb, *which)
    for words in (("gather",), ("gather-shift", "corrupted"), ("analyse",), ("tables",)):
        attnbench(*words)
    for name in DRAWN:
        attnbench("figure", name)
    attnbench("report")
    return output


@pytest.fixture(scope="session")
def report(finished: Path) -> Path:
    return finished / "report.html"


@pytest.fixture
def reported_again(finished: Path, tmp_path: Path) -> Callable[..., Path]:
    """`reported_again(lost=[runs], **changes)`: the report of the study changed, or without the
    scores of some runs.
    """

    def again(lost: tuple[str, ...] = (), **changes: object) -> Path:
        output = tmp_path / "again"
        shutil.copytree(finished, output)
        content = read_yaml(finished / "study.yaml") | changes | {"output": str(output)}
        study = check_study(content)
        for run in lost:
            for name in ("run.json", "predictions.npz", "scores.csv"):
                (output / "runs" / run / name).unlink()
        gather_scores(study)
        seal_study(study)
        analyse_study(study)
        draw_figure(study, "effects")
        write_report(study)
        return output / "report.html"

    return again
