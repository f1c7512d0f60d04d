const browser = document.getElementById("browser");
if (browser) browseCases(JSON.parse(document.getElementById("case-data").textContent));

function make(name, text, ...parts) {
  const node = Object.assign(document.createElement(name), { textContent: text });
  node.append(...parts);
  return node;
}

function picture(src, alt, kind) {
  return Object.assign(document.createElement("img"), { src, alt, className: kind });
}

function browseCases(data) {
  const { dataset, model, case: chosen } = browser.querySelector("form").elements;
  const signed = (gain) => (gain === null ? "–" : (gain < 0 ? "−" : gain > 0 ? "+" : "") + Math.abs(gain).toFixed(3));
  const shownSet = () => data.datasets[dataset.value];

  function listCases() {
    const gain = (place) => shownSet().cases[place].gains[model.value];
    const places = [...shownSet().cases.keys()].sort((a, b) => (gain(b) ?? -Infinity) - (gain(a) ?? -Infinity));
    chosen.replaceChildren(
      ...places.map((place) => new Option(`${signed(gain(place))}  ${shownSet().cases[place].case}`, place)),
    );
    show();
  }

  function panel(one, title, score, mask, alt) {
    const layers = make("div", "");
    layers.className = "layers";
    layers.style.aspectRatio = `${one.width} / ${one.height}`;
    layers.append(picture(one.image, alt, "image"));
    if (mask) layers.append(picture(mask, "", "mask"), picture(one.outline, "", "outline"));
    return make("figure", "", layers, make("figcaption", "", make("strong", title), ` ${score}`));
  }

  function show() {
    const one = shownSet().cases[chosen.value];
    const panels = data.models.map((name, place) => {
      const compared = data.compared[place] ? ` (${signed(one.gains[place])})` : "";
      const score = one.masks[place] ? one.scores[place] + compared : "no prediction";
      return panel(one, name, score, one.masks[place], `Prediction of ${name}`);
    });
    browser.querySelector(".panels").replaceChildren(
      panel(one, "Image", "", null, "Image"), panel(one, "Reference", "", one.reference, "Reference"), ...panels,
    );
    const group = one.group === one.case ? "" : ` of group ${one.group}`;
    const slice = one.slice ? `, slice ${one.slice}` : "";
    const left = shownSet().total - shownSet().cases.length;
    browser.querySelector(".said").textContent =
      `Case ${one.case}${group}${slice}; ${data.metric} below each prediction, in brackets the gain over ` +
      `${data.baseline}.` + (left ? ` ${left} cases are left out to keep this file small.` : "");
    browser.querySelector(".classes").replaceChildren(
      ...shownSet().classes.map(([name, colour]) => {
        const key = make("span", name);
        key.style.setProperty("--colour", colour);
        return key;
      }),
    );
  }

  dataset.append(...data.datasets.map((each, place) => new Option(each.title, place)));
  model.append(...data.models.flatMap((name, place) => (data.compared[place] ? [new Option(name, place)] : [])));
  if (!model.options.length) model.append(new Option(data.models[0], 0));
  dataset.addEventListener("change", listCases);
  model.addEventListener("change", listCases);
  chosen.addEventListener("change", show);
  for (const button of browser.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      const count = chosen.options.length;
      chosen.selectedIndex = (chosen.selectedIndex + Number(button.dataset.step) + count) % count;
      show();
    });
  }
  browser.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  browser.hidden = false;
  listCases();
}
