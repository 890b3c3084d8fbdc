// Draws the eigenvalues of a run, or their powers of ten against generation 0, one curve for each generation from the first to the last
// colour of a ramp, with a cursor that reads the nearest point off. Several runs are shown one at a time, on one scale.
const SPECTRUM_VIEWS = [
  { name: "eigenvalues", title: "log10 of eigenvalue \u03bb of G_A", powers: true, heights: (curve) => curve.eigenvalues.map((value) => (value > 0 ? Math.log10(value) : null)) },
  { name: "relative to t = 0", title: "log10 of \u03bb at t / \u03bb at 0", powers: false, heights: (curve) => curve.log_ratios },
];

class SpectrumPicture {
  constructor(host, spectra) {
    this.spectra = spectra;
    this.chosen = 0;
    this.title = host.getAttribute("aria-label");
    this.view = SPECTRUM_VIEWS[0];
    const controls = element(host, "div", { class: "controls" });
    const choose = (name, key, labels, chosen) => {
      const set = element(controls, "fieldset", {});
      element(set, "legend", {}, name);
      labels.forEach((text, index) => {
        const label = element(set, "label", {});
        const box = element(label, "input", { type: "radio", name: "spectrum-" + key });
        box.checked = index === 0;
        box.addEventListener("change", () => {
          chosen(index);
          this.draw();
        });
        element(label, "span", {}, text);
      });
    };
    if (spectra.length > 1) choose("Run", "run", spectra.map((one) => one.label), (index) => (this.chosen = index));
    const related = spectra.some((one) => one.curves.slice(1).some((curve) => curve.log_ratios.some((ratio) => ratio !== null)));
    if (related) choose("Shown", "view", SPECTRUM_VIEWS.map((view) => view.name), (index) => (this.view = SPECTRUM_VIEWS[index]));
    this.plot = element(host, "div", { class: "plot" });
    this.width = 0;
    new ResizeObserver(() => {
      if (this.plot.clientWidth !== this.width) this.draw();
    }).observe(this.plot);
    this.draw();
  }

  // One scale for all runs, with zero where it means "as at t = 0".
  range() {
    const heights = this.spectra.flatMap((one) => one.curves.flatMap(this.view.heights)).filter((height) => height !== null);
    if (!this.view.powers) heights.push(0);
    if (heights.length === 0) return [0, 1];
    const [low, high] = [heights.reduce((a, b) => Math.min(a, b)), heights.reduce((a, b) => Math.max(a, b))];
    const air = Math.max(0.04 * (high - low), 0.05);
    return [low - air, high + air];
  }

  colour(share) {
    const place = Math.min(3.999, Math.max(0, 4 * share));
    const stop = Math.floor(place);
    const rest = Math.round(100 * (place - stop));
    return "color-mix(in oklab, var(--ramp-" + (stop + 1) + ") " + rest + "%, var(--ramp-" + stop + "))";
  }

  draw() {
    this.width = this.plot.clientWidth;
    if (this.width === 0) return;
    this.plot.replaceChildren();
    const spectrum = this.spectra[this.chosen];
    const [low, high] = this.range();
    const height = Math.max(310, Math.min(430, Math.round(0.5 * this.width)));
    const yTicks = (this.view.powers && powerTicks("log", low, high)) || roundTicks(low, high, 6, false);
    const left = 34 + 7.2 * yTicks.reduce((widest, tick) => Math.max(widest, tick.label.length), 1);
    const [right, top, bottom] = [this.width - 92, 10, height - 44];
    const ends = Math.max(2, spectrum.dimension);
    const x = (place) => left + 6 + ((place - 1) / (ends - 1)) * (right - left - 12);
    const y = (at) => bottom - ((at - low) / (high - low)) * (bottom - top);
    const svg = shape(this.plot, "svg", { height, viewBox: "0 0 " + this.width + " " + height, role: "img" });
    svg.setAttribute("aria-label", this.title + ", " + spectrum.label);
    for (const tick of yTicks) {
      const at = y(tick.at);
      shape(svg, "line", { class: !this.view.powers && tick.at === 0 ? "axis" : "grid", x1: left, x2: right, y1: at, y2: at });
      shape(svg, "text", { x: left - 8, y: at + 4, "text-anchor": "end" }, tick.label);
    }
    for (const tick of roundTicks(1, ends, this.width < 500 ? 4 : 8, true)) {
      shape(svg, "line", { class: "axis", x1: x(tick.at), x2: x(tick.at), y1: bottom, y2: bottom + 5 });
      shape(svg, "text", { x: x(tick.at), y: bottom + 19, "text-anchor": "middle" }, tick.label);
    }
    shape(svg, "line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom });
    shape(svg, "text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, "index i, descending");
    const middle = (top + bottom) / 2;
    const turned = { x: 14, y: middle, "text-anchor": "middle", transform: "rotate(-90 14 " + middle + ")" };
    shape(svg, "text", turned, this.view.powers && powerTicks("log", low, high) ? "eigenvalue \u03bb of G_A, log" : this.view.title);
    const last = Math.max(1, spectrum.curves.reduce((most, curve) => Math.max(most, curve.generation), 0));
    const points = [];
    for (const curve of spectrum.curves) {
      let path = "";
      let pen = "M";
      this.view.heights(curve).forEach((height, index) => {
        if (height === null) {
          pen = "M";
          return;
        }
        const place = spectrum.places[index];
        path += pen + x(place).toFixed(1) + " " + y(height).toFixed(1);
        pen = "L";
        points.push({ x: x(place), y: y(height), t: curve.generation, i: place, value: curve.eigenvalues[index], ratio: curve.log_ratios[index] });
      });
      shape(svg, "path", { class: "curve", d: path }).style.stroke = this.colour(curve.generation / last);
    }
    this.bar(svg, right + 26, top + 16, bottom, last);
    this.listen(svg, points, last);
  }

  bar(svg, x, top, bottom, last) {
    shape(svg, "text", { x: x - 12, y: top - 7 }, "generation");
    const steps = 40;
    const height = (bottom - top) / steps;
    for (let step = 0; step < steps; step += 1) {
      const rect = shape(svg, "rect", { x, y: bottom - height * (step + 1), width: 14, height: height + 0.5 });
      rect.style.fill = this.colour((step + 0.5) / steps);
    }
    for (const tick of roundTicks(0, last, 5, true)) {
      const at = bottom - (tick.at / last) * (bottom - top);
      shape(svg, "line", { class: "axis", x1: x + 14, x2: x + 18, y1: at, y2: at });
      shape(svg, "text", { x: x + 21, y: at + 4 }, tick.label);
    }
  }

  listen(svg, points, last) {
    const ring = shape(svg, "circle", { r: 5, fill: "none", "stroke-width": 2, visibility: "hidden" });
    const tip = element(this.plot, "div", { class: "tip", role: "status" });
    tip.hidden = true;
    const follow = (event) => {
      const box = svg.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const distance = (point) => Math.hypot(point.x - x, point.y - y);
      if (points.length === 0) return;
      const nearest = points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
      tip.hidden = false;
      ring.setAttribute("visibility", "visible");
      ring.setAttribute("cx", nearest.x);
      ring.setAttribute("cy", nearest.y);
      ring.style.stroke = this.colour(nearest.t / last);
      tip.replaceChildren();
      element(tip, "strong", {}, "generation " + nearest.t + ", i = " + nearest.i);
      for (const [name, value] of [["\u03bb", nearest.value], ["log10 of \u03bb / \u03bb at t = 0", nearest.ratio]]) {
        const row = element(tip, "div", {});
        element(row, "span", {}, name);
        element(row, "b", {}, shown(value));
      }
      const aside = nearest.x > this.width / 2 ? nearest.x - 14 - tip.offsetWidth : nearest.x + 14;
      tip.style.left = Math.max(0, Math.min(this.width - tip.offsetWidth, aside)) + "px";
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse") return;
      tip.hidden = true;
      ring.setAttribute("visibility", "hidden");
    });
  }
}
