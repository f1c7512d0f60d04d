"use strict";
const SCALE = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, s: 1, min: 60, h: 3600, d: 86400 };

function numberIn(text) {
  const clean = text.trim().replaceAll("−", "-").replace(/(\d)[\s\u202f](?=\d{3})/g, "$1");
  const found = /^[<+]?(-?\d+(?:\.\d+)?)(?: (k|M|G|T|s|min|h|d)\b)?/.exec(clean);
  return found ? Number(found[1]) * (SCALE[found[2]] ?? 1) : NaN;
}

function compare(a, b) {
  const [x, y] = [numberIn(a), numberIn(b)];
  if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b);
  return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : x - y;
}

function sortBy(header) {
  const table = header.closest("table");
  const place = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = (row) => row.cells[place].textContent;
  const missing = (row) => text(row).trim() === "–";
  const rows = [...table.tBodies[0].rows].sort(
    (a, b) => missing(a) - missing(b) || (down ? -1 : 1) * compare(text(a), text(b)),
  );
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}

for (const field of document.querySelectorAll("[data-filter]")) {
  const rows = document.getElementById(field.dataset.filter).tBodies[0].rows;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    }
  });
}

const large = document.getElementById("large");
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const shown = button.querySelector("img");
    Object.assign(large.querySelector("img"), { src: shown.src, alt: shown.alt });
    large.showModal();
  });
}
