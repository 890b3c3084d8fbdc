// Draws a chart of lines in two dimensions, each value of which has a switch, with a cursor that reads values off. It knows nothing of
// what is drawn. Text goes into the page as text nodes only.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 8;
// From so many switches on there are buttons for all and for none.
const MANY = 4;
const DASHES = ["", "6 4", "2 3", "9 3 2 3", "12 4", "4 2 1 2"];

function element(parent, tag, attributes, text) {
  const made = document.createElement(tag);
  for (const name in attributes) made.setAttribute(name, attributes[name]);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function shape(parent, tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const name in attributes) made.setAttribute(name, attributes[name]);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function shown(value) {
  if (value === null) return "n/a";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(3) : value.toFixed(3);
  return text.replace("-", "\u2212");
}

const SCALES = {
  linear: (value) => value,
  symlog: (value) => Math.sign(value) * Math.log10(1 + Math.abs(value)),
  log: (value) => (value > 0 ? Math.log10(value) : null),
};

// About `count` round numbers from low to high.
function roundTicks(low, high, count, whole) {
  const rough = (high - low) / count;
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((round) => round >= rough * (1 - 1e-9));
  if (whole) step = Math.max(1, Math.round(step));
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9); tick * step <= high + 1e-9 * step; tick += 1) {
    ticks.push({ at: tick * step, label: (tick * step).toFixed(decimals).replace(/^-(?=0(\.0*)?$)/, "").replace("-", "\u2212") });
  }
  return ticks;
}

// Powers of ten of a logarithmic axis whose places run from low to high, thinned to what there is room for.
function powerTicks(scale, low, high) {
  const ticks = [];
  const add = (value, label) => {
    const at = SCALES[scale](value);
    if (at >= low && at <= high) ticks.push({ at, label });
  };
  const first = scale === "log" ? Math.ceil(low) : 0;
  const last = Math.ceil(Math.max(Math.abs(low), Math.abs(high)));
  const stride = Math.max(1, Math.ceil((last - first) / 8));
  if (scale === "symlog") add(0, "0");
  for (let power = first; power <= last; power += stride) {
    const label = power < -3 || power > 5 ? "1e" + power : String(Number("1e" + power));
    add(Number("1e" + power), label.replace("-", "\u2212"));
    if (scale === "symlog") add(-Number("1e" + power), "\u2212" + label);
  }
  return ticks.length > 1 ? ticks : null;
}

class Chart {
  constructor(host, chart) {
    this.chart = chart;
    this.title = host.getAttribute("aria-label");
    this.on = { group: chart.groups.map((switched) => switched.on), signal: chart.signals.map((switched) => switched.on) };
    this.scale = chart.scales[0];
    this.cursor = null;
    this.controls(element(host, "div", { class: "controls" }));
    this.plot = element(host, "div", { class: "plot" });
    this.width = 0;
    new ResizeObserver(() => {
      if (this.plot.clientWidth !== this.width) this.draw();
    }).observe(this.plot);
    this.draw();
  }

  // The look of a line: colour by one dimension, dashes by the other.
  look(group, signal) {
    const own = this.chart.groups[group].colour;
    const place = this.chart.signals[signal].colour;
    const [colour, dash] = this.chart.colour_by === "group" ? [own === undefined ? group : own, signal] : [place === undefined ? signal : place, group];
    // The second turn of the colours has open dots; what belongs to another group stands back behind it.
    return {
      colour: "var(--line-" + (colour % COLOURS) + ")",
      dash: this.chart.choose ? "" : DASHES[dash % DASHES.length],
      open: Math.floor(colour / COLOURS) % 2 === 1,
      faint: own !== undefined && this.chart.colour_by === "group",
    };
  }

  swatch(parent, look) {
    const picture = shape(parent, "svg", { width: 24, height: 10, "aria-hidden": "true" });
    const line = shape(picture, "line", { x1: 0, y1: 5, x2: 24, y2: 5, "stroke-width": 2.5, "stroke-dasharray": look.dash });
    line.style.stroke = look.colour;
    if (look.open) this.dot(picture, look, 12, 5, 3);
  }

  dot(parent, look, cx, cy, r) {
    const dot = shape(parent, "circle", { class: look.open ? "open" : "", cx, cy, r });
    dot.style[look.open ? "stroke" : "fill"] = look.colour;
    return dot;
  }

  // A switch for one value of a dimension.
  box(host, dimension, index) {
    const switched = (dimension === "group" ? this.chart.groups : this.chart.signals)[index];
    const label = element(host, "label", {});
    const box = element(label, "input", { type: "checkbox" });
    box.checked = switched.on;
    box.addEventListener("change", () => {
      this.on[dimension][index] = box.checked;
      this.draw();
    });
    const plain = { colour: "var(--soft)", dash: "" };
    const look = dimension === "group" ? this.look(index, 0) : this.look(0, index);
    if (this.chart.colour_by === dimension) [plain.colour, plain.open] = [look.colour, look.open];
    else plain.dash = look.dash;
    this.swatch(label, plain);
    element(label, "span", {}, switched.name);
    return box;
  }

  // Buttons that turn many switches at once.
  allOrNone(host, dimension, boxes) {
    const pair = element(host, "span", { class: "pair" });
    for (const [name, on] of [["all", true], ["none", false]]) {
      element(pair, "button", { type: "button" }, name).addEventListener("click", () => {
        for (const [index, box] of boxes) this.on[dimension][index] = box.checked = on;
        this.draw();
      });
    }
  }

  // A list from which one signal at a time is chosen.
  chooser(host, name) {
    const list = element(host, "select", { "aria-label": name });
    this.chart.signals.forEach((signal, index) => element(list, "option", { value: index }, signal.name));
    list.value = this.on.signal.indexOf(true);
    list.addEventListener("change", () => {
      this.on.signal = this.on.signal.map((_, index) => index === Number(list.value));
      this.draw();
    });
  }

  controls(host) {
    const dimensions = [["group", this.chart.titles[0], this.chart.groups], ["signal", this.chart.titles[1], this.chart.signals]];
    for (const [dimension, name, switches] of dimensions) {
      if (switches.length < 2) continue;
      const set = element(host, "fieldset", {});
      element(set, "legend", {}, name);
      if (dimension === "signal" && this.chart.choose) {
        this.chooser(set, name);
        continue;
      }
      const folds = new Map([[undefined, []]]);
      switches.forEach((switched, index) => folds.set(switched.fold, (folds.get(switched.fold) || []).concat(index)));
      for (const [fold, indices] of folds) {
        let place = set;
        if (fold !== undefined) {
          const details = element(host, "details", { class: "fold" });
          element(details, "summary", {}, fold + " (" + indices.length + ")");
          place = element(details, "fieldset", { "aria-label": fold });
        }
        const boxes = [];
        if (indices.length > MANY) this.allOrNone(place, dimension, boxes);
        boxes.push(...indices.map((index) => [index, this.box(place, dimension, index)]));
      }
    }
    if (this.chart.scales.length > 1) {
      const set = element(host, "fieldset", {});
      element(set, "legend", {}, "Scale");
      for (const scale of this.chart.scales) {
        const label = element(set, "label", {});
        const box = element(label, "input", { type: "radio", name: "scale-" + this.chart.id });
        box.checked = scale === this.scale;
        box.addEventListener("change", () => {
          this.scale = scale;
          this.draw();
        });
        element(label, "span", {}, scale);
      }
    }
  }

  visible() {
    return this.chart.lines.filter((line) => this.on.group[line.group] && this.on.signal[line.signal]);
  }

  name(line) {
    const parts = [];
    if (this.chart.groups.length > 1) parts.push(this.chart.groups[line.group].name);
    if (this.chart.signals.length > 1) parts.push(this.chart.signals[line.signal].name);
    return parts.join(": ") || this.chart.groups[line.group].name;
  }

  intervals(line) {
    return line.band || line.whiskers || [];
  }

  // Where the y axis begins and ends, on the scale.
  range(lines) {
    const place = SCALES[this.scale];
    const places = [];
    for (const line of lines) {
      for (const [, value] of line.points) if (value !== null) places.push(place(value));
      for (const ends of this.intervals(line)) if (ends) places.push(place(ends[0]), place(ends[1]));
    }
    const finite = places.filter((value) => value !== null && Number.isFinite(value));
    if (this.chart.zero && this.scale !== "log") finite.push(0);
    if (finite.length === 0) return [0, 1];
    const low = finite.reduce((a, b) => Math.min(a, b));
    const high = finite.reduce((a, b) => Math.max(a, b));
    const air = high > low ? 0.05 * (high - low) : Math.max(0.1 * Math.abs(low), 0.5);
    return [low - air, high + air];
  }

  draw() {
    this.width = this.plot.clientWidth;
    if (this.width === 0) return;
    this.plot.replaceChildren();
    const lines = this.visible();
    const height = Math.max(310, Math.min(430, Math.round(0.5 * this.width)));
    const [low, high] = this.range(lines);
    const powers = this.scale === "linear" ? null : powerTicks(this.scale, low, high);
    const yTicks = powers || roundTicks(low, high, 6, false);
    const left = 34 + 7.2 * yTicks.reduce((widest, tick) => Math.max(widest, tick.label.length), 1);
    const [right, top, bottom] = [this.width - 12, 10, height - 44];
    const places = Array.from(new Set(this.chart.lines.flatMap((line) => line.points.map(([t]) => t)))).sort((a, b) => a - b);
    const first = this.chart.whole ? 0 : places.length ? places[0] : 0;
    const last = Math.max(places.length ? places[places.length - 1] : 1, this.chart.whole ? 1 : first + 1e-9);
    const x = (t) => left + ((t - first) / (last - first) + 0.02) / 1.04 * (right - left);
    const y = (at) => bottom - ((at - low) / (high - low)) * (bottom - top);
    const svg = shape(this.plot, "svg", { height, viewBox: "0 0 " + this.width + " " + height, role: "img", tabindex: "0" });
    svg.setAttribute("aria-label", this.title + "; the arrow keys read values off");

    for (const tick of yTicks) {
      shape(svg, "line", { class: tick.label === "0" ? "axis" : "grid", x1: left, x2: right, y1: y(tick.at), y2: y(tick.at) });
      shape(svg, "text", { x: left - 8, y: y(tick.at) + 4, "text-anchor": "end" }, tick.label);
    }
    for (const tick of roundTicks(first, last, this.width < 500 ? 5 : 10, this.chart.whole)) {
      shape(svg, "line", { class: "axis", x1: x(tick.at), x2: x(tick.at), y1: bottom, y2: bottom + 5 });
      shape(svg, "text", { x: x(tick.at), y: bottom + 19, "text-anchor": "middle" }, tick.label);
    }
    shape(svg, "line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom });
    shape(svg, "text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, this.chart.x_title);
    const middle = (top + bottom) / 2;
    const unit = this.scale === "linear" ? "" : ", " + this.scale;
    const turned = { x: 14, y: middle, "text-anchor": "middle", transform: "rotate(-90 14 " + middle + ")" };
    const title = this.chart.choose ? this.chart.signals[this.on.signal.indexOf(true)].name : this.chart.y_title;
    shape(svg, "text", turned, title + unit);

    const place = (value) => {
      const at = value === null ? null : SCALES[this.scale](value);
      return at === null || !Number.isFinite(at) ? null : y(at);
    };
    // Many areas upon each other would hide the lines.
    const areas = lines.filter((line) => line.band).length;
    svg.style.setProperty("--band", Math.min(0.18, 0.6 / Math.max(1, areas)));
    for (const line of lines) this.drawBand(svg, line, x, place);
    for (const line of lines) this.drawLine(svg, line, x, place);
    if (lines.length === 0) shape(svg, "text", { x: (left + right) / 2, y: middle, "text-anchor": "middle" }, "nothing is switched on");
    if (lines.some((line) => line.hollow)) {
      element(this.plot, "p", { class: "note" }, "hollow, *: n or n_A is not that of t = 0; no line leads over a step of n_A");
    }
    this.listen(svg, lines, { x, place, left, right, top, bottom, places });
  }

  drawBand(svg, line, x, place) {
    const band = line.band || [];
    (line.whiskers || []).forEach((ends, index) => {
      if (!ends || place(ends[0]) === null || place(ends[1]) === null) return;
      const at = x(line.points[index][0]);
      const [low, high] = ends.map(place);
      const caps = [low, high].map((end) => "M" + (at - 4) + " " + end + "H" + (at + 4)).join("");
      const faint = this.look(line.group, line.signal).faint ? " faint" : "";
      const whisker = shape(svg, "path", { class: "whisker" + faint, d: "M" + at + " " + low + "V" + high + caps });
      whisker.style.stroke = this.look(line.group, line.signal).colour;
    });
    const corner = (index, end) => x(line.points[index][0]) + " " + place(band[index][end]);
    let open = [];
    const close = () => {
      if (open.length > 1) {
        const there = open.map((index) => corner(index, 0));
        const back = open.slice().reverse().map((index) => corner(index, 1));
        const area = shape(svg, "path", { class: "band", d: "M" + there.concat(back).join("L") + "Z" });
        area.style.fill = this.look(line.group, line.signal).colour;
      }
      open = [];
    };
    band.forEach((ends, index) => {
      if (ends && place(ends[0]) !== null && place(ends[1]) !== null) open.push(index);
      else close();
    });
    close();
  }

  drawLine(svg, line, x, place) {
    const look = this.look(line.group, line.signal);
    const { dots, bare } = this.chart.groups[line.group];
    let path = "";
    let pen = "M";
    line.points.forEach(([t, value], index) => {
      const at = place(value);
      if (at === null || dots || (line.breaks && line.breaks[index])) pen = "M";
      if (at === null || dots) return;
      path += pen + x(t) + " " + at;
      pen = "L";
    });
    const kind = look.faint ? "line faint" : "line";
    if (!dots) shape(svg, "path", { class: kind, d: path, "stroke-dasharray": look.dash }).style.stroke = look.colour;
    if (bare) return;
    line.points.forEach(([t, value], index) => {
      const at = place(value);
      if (at === null) return;
      const hollow = line.hollow !== undefined && line.hollow[index];
      const radius = line.points.length > 60 ? 1.4 : look.faint && !dots ? 1.6 : 2.4;
      const dot = this.dot(svg, { ...look, open: look.open || hollow }, x(t), at, hollow ? radius + 1 : radius);
      if (look.faint && !dots) dot.classList.add("faint");
    });
  }

  listen(svg, lines, frame) {
    const overlay = shape(svg, "g", {});
    const tip = element(this.plot, "div", { class: "tip", role: "status" });
    tip.hidden = true;
    const show = (index) => {
      const t = index === null ? null : frame.places[index];
      this.cursor = index;
      overlay.replaceChildren();
      tip.replaceChildren();
      tip.hidden = t === null || t === undefined || lines.length === 0;
      if (tip.hidden) return;
      const at = frame.x(t);
      shape(overlay, "line", { class: "cursor", x1: at, x2: at, y1: frame.top, y2: frame.bottom });
      element(tip, "strong", {}, this.chart.x_title + " " + t);
      for (const line of lines) {
        const index = line.points.findIndex(([place]) => place === t);
        if (index < 0) continue;
        const value = line.points[index][1];
        const look = this.look(line.group, line.signal);
        const row = element(tip, "div", {});
        this.swatch(row, look);
        element(row, "span", {}, this.name(line));
        const ends = this.intervals(line)[index];
        const mark = line.hollow !== undefined && line.hollow[index] ? " *" : "";
        element(row, "b", {}, shown(value) + mark + (ends ? " [" + shown(ends[0]) + ", " + shown(ends[1]) + "]" : ""));
        const height = frame.place(value);
        if (height === null) continue;
        const ring = shape(overlay, "circle", { cx: at, cy: height, r: 5, fill: "none", "stroke-width": 2 });
        ring.style.stroke = look.colour;
      }
      // Beside the cursor where there is room, else as far over as it has to be.
      const room = this.width - tip.offsetWidth;
      const aside = at > (frame.left + frame.right) / 2 ? at - 14 - tip.offsetWidth : at + 14;
      tip.style.left = Math.max(0, Math.min(room, aside)) + "px";
    };
    const ends = frame.places.length - 1;
    const follow = (event) => {
      const at = event.clientX - svg.getBoundingClientRect().left;
      const distance = (index) => Math.abs(frame.x(frame.places[index]) - at);
      let nearest = ends < 0 ? null : 0;
      for (let index = 1; index <= ends; index += 1) if (distance(index) < distance(nearest)) nearest = index;
      show(nearest);
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    // A finger leaves when it is lifted, and then the reader wants to read.
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(null));
    svg.addEventListener("blur", () => show(null));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") show(null);
      if (step === undefined) return;
      event.preventDefault();
      const from = this.cursor === null ? (step > 0 ? -1 : ends + 1) : this.cursor;
      if (ends >= 0) show(Math.max(0, Math.min(ends, from + step)));
    });
  }
}
