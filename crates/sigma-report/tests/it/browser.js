// Appended to a report's page by the tests: uses the page as a reader would and writes what happened into the document.
(async () => {
  const outcome = { errors: window.recorded, charts: {}, resources: [] };
  const seen = (plot, selector) => Array.from(plot.querySelectorAll(selector)).filter((one) => one.getAttribute("d") !== "");
  const labels = (host) => Array.from(host.querySelectorAll(".plot > svg text")).map((one) => one.textContent);
  const point = (host, x, y) => {
    const svg = host.querySelector(".plot > svg");
    const box = svg.getBoundingClientRect();
    const options = { clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true, pointerType: "mouse" };
    svg.dispatchEvent(new PointerEvent("pointermove", options));
    const tip = host.querySelector(".tip");
    return tip.hidden ? null : tip.textContent;
  };
  try {
    outcome.folds = Array.from(document.querySelectorAll(".controls details.fold")).map((fold) => ({
      name: fold.querySelector("summary").textContent,
      open: fold.open,
      on: fold.querySelectorAll("input:checked").length,
    }));
    for (const details of document.querySelectorAll("details")) details.open = true;
    for (const host of document.querySelectorAll("[data-chart]")) {
      const result = { lines: seen(host, "path.line").length, labels: labels(host) };
      const svg = host.querySelector(".plot > svg");
      svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true, cancelable: true }));
      svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true, cancelable: true }));
      result.second = host.querySelector(".tip").textContent;
      result.tip = point(host, 0.97, 0.5);
      const boxes = Array.from(host.querySelectorAll("input[type=checkbox]"));
      const on = boxes.filter((box) => box.checked);
      on.forEach((box) => box.click());
      result.off = seen(host, "path.line").length;
      on.forEach((box) => box.click());
      result.again = seen(host, "path.line").length;
      result.toggles = boxes.length;
      const radios = Array.from(host.querySelectorAll("input[type=radio]"));
      result.scales = radios.map((radio) => radio.parentElement.textContent);
      if (radios.length > 1) {
        radios[1].click();
        result.rescaled = labels(host);
        radios[0].click();
        result.restored = labels(host);
      }
      const list = host.querySelector("select");
      if (list) {
        list.value = "1";
        list.dispatchEvent(new Event("change"));
        result.chosen = labels(host);
        result.name = list.selectedOptions[0].textContent;
      }
      outcome.charts[host.getAttribute("data-chart")] = result;
    }
    const fold = document.querySelector('[data-chart="track-two"] .fold');
    if (fold) {
      const lines = () => seen(document.querySelector('[data-chart="track-two"]'), "path.line").length;
      const [all, none] = fold.querySelectorAll("button");
      if (all) all.click();
      outcome.unfolded = lines();
      if (none) none.click();
      outcome.refolded = lines();
    }
    const heat = document.querySelector("[data-heat-map]");
    if (heat) {
      const cell = heat.querySelector("rect.cell").getBoundingClientRect();
      const box = heat.querySelector(".plot > svg").getBoundingClientRect();
      const at = [(cell.left + 1.5 * cell.width - box.left) / box.width, (cell.top + 5 - box.top) / box.height];
      outcome.heat = { cells: heat.querySelectorAll("rect.cell").length, tip: point(heat, at[0], at[1]) };
    }
    const spectrum = document.querySelector("[data-spectrum]");
    if (spectrum) {
      const radios = Array.from(spectrum.querySelectorAll("input[name=spectrum-run]"));
      const drawn = () => seen(spectrum, "path.curve").map((curve) => curve.getAttribute("d")).join();
      const first = drawn();
      outcome.spectrum = { curves: seen(spectrum, "path.curve").length, tip: point(spectrum, 0.0, 0.0), runs: radios.length };
      if (radios.length > 1) {
        radios[radios.length - 1].click();
        outcome.spectrum.changed = drawn() !== first;
        radios[0].click();
      }
      const views = Array.from(spectrum.querySelectorAll("input[name=spectrum-view]"));
      if (views.length > 1) {
        views[1].click();
        outcome.spectrum.relative = { changed: drawn() !== first, tip: point(spectrum, 0.5, 1.0), labels: labels(spectrum) };
        views[0].click();
        outcome.spectrum.restored = drawn() === first;
      }
    }
    const chooser = document.querySelectorAll("[data-answers] .choose select")[1];
    if (chooser) {
      chooser.value = "1";
      chooser.dispatchEvent(new Event("change"));
      outcome.answers = Array.from(document.querySelectorAll(".card p")).map((card) => card.textContent);
    }
    outcome.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    outcome.details = document.querySelectorAll("details").length;
    await Promise.resolve();
    outcome.resources = performance.getEntriesByType("resource").map((entry) => entry.name);
  } catch (error) {
    outcome.errors.push("the check itself: " + error.stack);
  }
  const place = document.createElement("pre");
  place.id = "outcome";
  place.textContent = JSON.stringify(outcome);
  document.body.append(place);
})();
