"""The report in a real browser: tables sort and filter, figures enlarge, nothing overflows, nothing is loaded."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from attnbench.reporting.figures import draw_figure
from attnbench.reporting.page import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")
USE = """<script>
const seen = { errors: [] };
window.addEventListener("error", (event) => seen.errors.push(event.message));
document.addEventListener("securitypolicyviolation", (event) => seen.errors.push(event.violatedDirective));
const table = (name) => document.getElementById("rows-" + name);
const rows = (name) => [...table(name).tBodies[0].rows].filter((row) => !row.hidden);
const column = (name, k) => rows(name).map((row) => row.cells[k].textContent);
const press = (name, k) => table(name).tHead.rows[0].cells[k].querySelector("button").click();
const sort = (name, k) => { press(name, k); return column(name, k); };
seen.up = sort("comparison", 2);
seen.down = sort("comparison", 2);
seen.p = sort("comparison", 4);
const field = document.querySelector('[data-filter="rows-effects"]');
field.value = "phantom self";
field.dispatchEvent(new Event("input"));
seen.kept = column("effects", 1);
seen.overflow = document.documentElement.scrollWidth > document.documentElement.clientWidth;
document.querySelector(".enlarge").click();
seen.large = document.getElementById("large").open && document.querySelector("#large img").naturalWidth;
seen.requests = performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:")).length;
document.body.textContent = JSON.stringify(seen);
</script></body>"""


def in_browser(study, tmp_path, width):
    page = tmp_path / "used.html"
    page.write_text(study.layout.report.read_text(encoding="utf-8").replace("</body>", USE), encoding="utf-8")
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"<body>(\{.*\})\s*</body>", done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("width", [500, 1400])
def test_the_page_works(write_study, tmp_path, width):
    study = write_study(cases=12)
    draw_figure(study, "effects")
    write_report(study)
    seen = in_browser(study, tmp_path, width)
    assert seen["errors"] == [] and seen["requests"] == 0
    means = [float(text.split(" ")[0]) for text in seen["up"]]
    assert means == sorted(means) and len(means) == 6
    assert [float(text.split(" ")[0]) for text in seen["down"]] == means[::-1]
    assert seen["p"][-2:] == ["–", "–"]
    numbers = [float(text.rstrip("⁺⁻").lstrip("<")) for text in seen["p"][:-2]]
    assert numbers == sorted(numbers)
    assert seen["kept"] == ["Self-attention", "Self-attention"]
    assert seen["overflow"] is False
    assert seen["large"] > 1000
