// Draws a heat map of several panels on one diverging scale around zero, with a bar and a cursor that reads cells off. A cell above zero
// carries a mark, for readers without colours.

class HeatMap {
  constructor(host, data) {
    this.panels = data.panels;
    const values = data.panels.flatMap((panel) => panel.rows.flatMap((row) => row.cells)).filter((value) => value !== null);
    this.low = values.reduce((a, b) => Math.min(a, b), 0);
    this.high = values.reduce((a, b) => Math.max(a, b), 0);
    if (this.low === this.high) this.high = this.low + 1;
    this.limit = Math.max(-this.low, this.high);
    this.title = host.getAttribute("aria-label");
    this.plot = element(host, "div", { class: "plot" });
    this.width = 0;
    new ResizeObserver(() => {
      if (this.plot.clientWidth !== this.width) this.draw();
    }).observe(this.plot);
    this.draw();
  }

  colour(value) {
    if (value === null) return "var(--nothing)";
    const share = Math.round((100 * Math.abs(value)) / this.limit);
    return "color-mix(in oklab, var(--" + (value < 0 ? "cold" : "warm") + ") " + share + "%, var(--zero))";
  }

  draw() {
    this.width = this.plot.clientWidth;
    if (this.width === 0) return;
    this.plot.replaceChildren();
    const bar = 86;
    const columns = this.width > 820 && this.panels.length > 1 ? 2 : 1;
    const panelWidth = (this.width - bar) / columns;
    const rowHeight = 28;
    let top = 0;
    let svgHeight = 0;
    const tops = this.panels.map((panel, index) => {
      if (index % columns === 0) top = svgHeight;
      svgHeight = Math.max(svgHeight, top + 26 + rowHeight * panel.rows.length + 48);
      return top;
    });
    const svg = shape(this.plot, "svg", { height: svgHeight, viewBox: "0 0 " + this.width + " " + svgHeight, role: "img" });
    svg.setAttribute("aria-label", this.title);
    const cells = [];
    this.panels.forEach((panel, index) => {
      const labels = panel.rows.reduce((widest, row) => Math.max(widest, String(row.alpha).length), 1);
      const left = (index % columns) * panelWidth + 26 + 7.2 * labels + 6;
      const right = (index % columns) * panelWidth + panelWidth - 16;
      const first = tops[index] + 24;
      const bottom = first + rowHeight * panel.rows.length;
      const count = panel.rows.reduce((most, row) => Math.max(most, row.cells.length), 1);
      const step = (right - left) / count;
      shape(svg, "text", { x: left, y: tops[index] + 15 }, panel.title);
      panel.rows.forEach((row, place) => {
        const y = bottom - rowHeight * (place + 1);
        shape(svg, "text", { x: left - 6, y: y + rowHeight / 2 + 4, "text-anchor": "end" }, String(row.alpha));
        row.cells.forEach((value, t) => {
          const x = left + step * t;
          const cell = shape(svg, "rect", { class: "cell", x, y, width: step + 0.3, height: rowHeight - 1 });
          cell.style.fill = this.colour(value);
          const [middle, centre, half] = [x + step / 2, y + rowHeight / 2, Math.min(3, step / 3)];
          const cross = "M" + (middle - half) + " " + centre + "h" + 2 * half + "M" + middle + " " + (centre - half) + "v" + 2 * half;
          if (value > 0) shape(svg, "path", { class: "mark", d: cross });
          cells.push({ x, y, step, value, t, alpha: row.alpha, title: panel.title });
        });
      });
      for (const tick of roundTicks(0, Math.max(1, count - 1), step * count < 400 ? 5 : 10, true)) {
        if (tick.at > count - 1) continue;
        shape(svg, "text", { x: left + step * (tick.at + 0.5), y: bottom + 16, "text-anchor": "middle" }, tick.label);
      }
      shape(svg, "text", { x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, "generation");
      const middle = (first + bottom) / 2;
      const at = (index % columns) * panelWidth + 12;
      shape(svg, "text", { x: at, y: middle, "text-anchor": "middle", transform: "rotate(-90 " + at + " " + middle + ")" }, "α");
    });
    this.bar(svg, this.width - bar + 14, 30, Math.max(110, svgHeight / Math.ceil(this.panels.length / columns) - 48));
    this.listen(svg, cells, rowHeight);
  }

  bar(svg, x, top, bottom) {
    shape(svg, "text", { x: x - 12, y: 15 }, "ΔU (nats)");
    const steps = 48;
    const y = (value) => bottom - ((value - this.low) / (this.high - this.low)) * (bottom - top);
    for (let step = 0; step < steps; step += 1) {
      const value = this.low + ((step + 0.5) / steps) * (this.high - this.low);
      const height = (bottom - top) / steps;
      shape(svg, "rect", { x, y: y(value) - height / 2, width: 14, height: height + 0.5 }).style.fill = this.colour(value);
    }
    for (const tick of roundTicks(this.low, this.high, 5, false)) {
      shape(svg, "line", { class: "axis", x1: x + 14, x2: x + 18, y1: y(tick.at), y2: y(tick.at) });
      shape(svg, "text", { x: x + 21, y: y(tick.at) + 4 }, tick.label);
    }
  }

  listen(svg, cells, rowHeight) {
    const frame = shape(svg, "rect", { class: "chosen", visibility: "hidden", height: rowHeight - 1 });
    const tip = element(this.plot, "div", { class: "tip", role: "status" });
    tip.hidden = true;
    const follow = (event) => {
      const box = svg.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const cell = cells.find((one) => x >= one.x && x < one.x + one.step && y >= one.y && y < one.y + rowHeight);
      tip.hidden = !cell;
      frame.setAttribute("visibility", cell ? "visible" : "hidden");
      if (!cell) return;
      frame.setAttribute("x", cell.x);
      frame.setAttribute("y", cell.y);
      frame.setAttribute("width", cell.step);
      tip.replaceChildren();
      element(tip, "strong", {}, cell.title + ", α = " + cell.alpha + ", generation " + cell.t);
      const row = element(tip, "div", {});
      element(row, "span", {}, "mean ΔU (nats)");
      element(row, "b", {}, shown(cell.value));
      const aside = cell.x > this.width / 2 ? cell.x - 14 - tip.offsetWidth : cell.x + cell.step + 14;
      tip.style.left = Math.max(0, Math.min(this.width - tip.offsetWidth, aside)) + "px";
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse") return;
      tip.hidden = true;
      frame.setAttribute("visibility", "hidden");
    });
  }
}
