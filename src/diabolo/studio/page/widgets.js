// el(tag, properties, ...children) -> Element ("class", "aria-*", "data-*", "for", "role" become attributes).
// svg(tag, attributes, ...children) -> SVG element.  number(x, digits = 3) -> text.  button(text, onclick, class?).
// picture(caption) -> {node, canvas, set(picture, description, {colours, value}?)}: figure.picture with a canvas.
// paint(canvas, imageData): the canvas takes its size.
// slider({label, help, min, max, step, value, onchange}) -> {node, value, set(value)}: range and number, in step.
// field(field, onchange) -> {node, name, value() as text, set(text)}: the form control of a Field but for "part".
// bars(label) -> {node, set(values, range?)}: the code as bars; range = info.code_range.
// codePicture(caption) -> like picture(), set(values, range?): the code as a small picture.
// findingList([[name, what, fix], ...]) -> Element: what the doctor found.
// heat: the colour map "inferno", 256 entries [r, g, b]; heatLegend(low, high) -> Element.

import { makePicture, toImageData } from "./api.js";

export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in node && !(node instanceof SVGElement)) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function number(x, digits = 3) {
  if (x === null || x === undefined) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  return String(Number(x.toPrecision(digits))).replace("-", "−");
}

export function button(text, onclick, className = "") {
  return el("button", { type: "button", class: className, onclick }, text);
}

let ids = 0;
function newId(stem) {
  return `${stem}-${++ids}`;
}

export function picture(caption, className = "") {
  const canvas = el("canvas", { width: 28, height: 28, role: "img", "aria-label": caption });
  const value = el("span", { class: "value" });
  const node = el("figure", { class: `picture ${className}` }, canvas,
    el("figcaption", {}, el("span", {}, caption), value));
  return {
    node,
    canvas,
    set(image, description, options = {}) {
      paint(canvas, toImageData(image, options.colours));
      canvas.setAttribute("aria-label", description ?? caption);
      value.textContent = options.value ?? "";
    },
  };
}

export function paint(canvas, imageData) {
  if (canvas.width !== imageData.width) canvas.width = imageData.width;
  if (canvas.height !== imageData.height) canvas.height = imageData.height;
  canvas.getContext("2d").putImageData(imageData, 0, 0);
}

export function slider({ label, help, min, max, step = "any", value, onchange }) {
  const id = newId("slider");
  const range = el("input", { type: "range", id, min, max, step, value });
  const box = el("input", { type: "number", min, max, step, value, "aria-label": `${label}, number` });
  const update = (from, to) => {
    if (from.value === "" || !from.checkValidity()) return;
    to.value = from.value;
    onchange?.(Number(from.value));
  };
  range.oninput = () => update(range, box);
  box.oninput = () => update(box, range);
  const node = el("div", { class: "slider", title: help }, el("label", { for: id }, label), range, box);
  return {
    node,
    get value() {
      return Number(range.value);
    },
    set(next) {
      range.value = next;
      box.value = Number(Number(next).toPrecision(3));
    },
  };
}

export function field(declared, onchange = () => {}) {
  const id = newId("field");
  const control = fieldInput(declared, id);
  control.oninput = () => onchange();
  const help = declared.help ? el("small", { id: `${id}-help` }, declared.help) : null;
  if (help) control.setAttribute("aria-describedby", help.id);
  const label = declared.name.split(".").at(-1).replaceAll("_", " ");
  return {
    name: declared.name,
    node: el("div", { class: "field" }, el("label", { for: id }, label), control, help),
    value: () => (control.type === "checkbox" ? String(control.checked) : control.value),
    set(text) {
      if (control.type === "checkbox") control.checked = text.toLowerCase() === "true";
      else control.value = text;
    },
  };
}

function fieldInput({ type, value, words, minimum, maximum, choices, optional }, id) {
  if (type === "boolean") return el("input", { type: "checkbox", id, checked: value.toLowerCase() === "true" });
  if (type === "choice") {
    const named = optional && !choices.includes("none") ? ["none", ...choices] : choices;
    return el("select", { id }, ...named.map((choice) => new Option(choice, choice, false, choice === value)));
  }
  if (type === "integer" && !optional) {
    return el("input", { type: "number", id, value, min: minimum ?? "", max: maximum ?? "", step: 1 });
  }
  return el("input", { type: "text", id, value, placeholder: words ?? "", autocomplete: "off", spellcheck: false });
}

const MOST_BARS = 256;

export function bars(label) {
  const plot = svg("svg", { class: "bars", role: "img", "aria-label": label });
  const zero = svg("line", { x1: "0%", x2: "100%" });
  let [usual, now] = [[], []];

  function build(count) {
    const width = 100 / count;
    const column = (name) => (_, i) => svg("rect", { class: name, x: `${(i + 0.12) * width}%`, width: `${0.76 * width}%` });
    usual = Array.from({ length: count }, column("usual"));
    now = Array.from({ length: count }, column("now"));
    const every = Math.ceil(count / 32);
    const marks = now.map((_, i) => (i % every ? null : svg("text", { class: i % 8 ? "minor" : "", x: `${(i + 0.5) * width}%`, y: "100%", dy: 14 }, i + 1)));
    plot.replaceChildren(...usual, ...now, ...marks.filter(Boolean), zero);
  }

  return {
    node: plot,
    set(values, range) {
      const shown = values.slice(0, MOST_BARS);
      const [low, high] = limits(shown, range);
      const y = (value) => (100 * (high - value)) / (high - low);
      if (now.length !== shown.length) build(shown.length);
      shown.forEach((value, i) => {
        stretch(now[i], y(Math.max(value, 0)), y(Math.min(value, 0)));
        if (range) stretch(usual[i], y(range[1][i]), y(range[0][i]));
      });
      for (const end of ["y1", "y2"]) zero.setAttribute(end, `${y(0)}%`);
      plot.setAttribute("aria-label", `${label}: ${values.length} numbers: ${shown.slice(0, 32).map((value) => number(value, 2)).join(", ")}${values.length > 32 ? "…" : ""}`);
    },
  };
}

function stretch(rect, top, bottom) {
  rect.setAttribute("y", `${top}%`);
  rect.setAttribute("height", `${Math.max(0, bottom - top)}%`);
}

function limits(values, range) {
  const all = [0, ...values, ...(range ? [...range[0].slice(0, MOST_BARS), ...range[1].slice(0, MOST_BARS)] : [])];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  return low === high ? [-1, 1] : [low, high];
}

export function codePicture(caption) {
  const inner = picture(caption, "code");
  return {
    ...inner,
    set(values, range) {
      const most = (i) => Math.max(...[values[i], range?.[0][i] ?? 0, range?.[1][i] ?? 0].map(Math.abs)) || 1;
      const width = Math.ceil(Math.sqrt(values.length));
      const image = new ImageData(width, Math.ceil(values.length / width));
      values.forEach((value, i) => image.data.set(diverging(value / most(i)), 4 * i));
      paint(inner.canvas, image);
      inner.canvas.setAttribute("aria-label", `The code as a picture: ${values.length} squares, blue below zero, orange above, each as strong as it is large for its number.`);
    },
  };
}

const POLES = { blue: [43, 110, 190], middle: [244, 243, 240], orange: [214, 106, 24] };

/** -1: blue, 0: nearly white, 1: orange. */
function diverging(share) {
  const pole = share < 0 ? POLES.blue : POLES.orange;
  const t = Math.min(1, Math.abs(share));
  return [...POLES.middle.map((c, i) => c + t * (pole[i] - c)), 255];
}

// Polynomial fit of matplotlib's "inferno" (M. Zucker, 2019), lowest power first.
const INFERNO = [
  [0.0002, 0.1065, 11.6025, -41.704, 77.1629, -71.3194, 25.1311],
  [0.0017, 0.564, -3.9729, 17.4364, -33.4024, 32.6261, -12.2427],
  [-0.0195, 3.9327, -15.9424, 44.3541, -81.8073, 73.2095, -23.0703],
];

export const heat = Array.from({ length: 256 }, (_, value) =>
  INFERNO.map((powers) => 255 * powers.reduceRight((sum, factor) => (sum * value) / 255 + factor, 0)));

export function heatLegend(low, high) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const ramp = makePicture([1, 1, 256], Uint8Array.from({ length: 256 }, (_, i) => i));
  paint(canvas, toImageData(ramp, heat));
  return el("p", { class: "legend" }, el("span", {}, low), canvas, el("span", {}, high));
}

/** What the doctor found, [[name, what, fix], ...], as a list. */
export function findingList(findings) {
  return el("ul", { class: "findings" }, ...findings.map(([name, what, fix]) =>
    el("li", {}, el("strong", {}, name), " ", what, " ", el("span", { class: "muted" }, fix))));
}
