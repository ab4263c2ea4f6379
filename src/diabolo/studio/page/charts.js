// lineChart({label, x, y}) -> {node, set(series, end?)}: series [{name, x, y, colour: 0 to 9, dashed?}]; `end`: the last x to come.
// scatterMap({label, pictureOf(index), onpoint(point), online(from, to)}) -> {node, set(points, labels), mark(index)}.
// thumb(picture) -> canvas.  pictureRows([{name, note?, pictures}]) -> Element: rows of small pictures.

import { toImageData } from "./api.js";
import { name } from "./present.js";
import { button, el, number, picture, svg } from "./widgets.js";

const HEIGHT = 280;
const WIDE = 560; // pixels from which on lines are named at their ends
const LOGARITHMIC = 30; // largest through smallest value from which on the scale is logarithmic

export function thumb(image) {
  const pixels = toImageData(image);
  const canvas = el("canvas", { class: "thumb", width: pixels.width, height: pixels.height, "aria-hidden": "true" });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

export function pictureRows(rows) {
  return el("div", { class: "picture-rows" }, ...rows.map(({ name, note, pictures }) => el("div", { class: "picture-row" },
    el("p", {}, name, el("small", {}, note ?? "")),
    el("div", { role: "img", "aria-label": `${name}: ${pictures.length} pictures` }, ...pictures.map(thumb)))));
}

export function lineChart({ label, x: xTitle, y: yTitle }) {
  const plot = svg("svg", { class: "lines", height: HEIGHT, role: "img", "aria-label": label });
  const key = el("ul", { class: "key" });
  let series = [];
  let end = 2;
  let at = null;
  let place = null;

  function draw() {
    if (!plot.clientWidth) return;
    place = places(series, end, plot.clientWidth);
    plot.setAttribute("viewBox", `0 0 ${place.width} ${HEIGHT}`);
    plot.replaceChildren(...axes(place, xTitle, yTitle), ...cursor(place, at), ...series.flatMap((one) => curve(one, place)),
      ...(place.named ? names(series, place) : []));
    plot.setAttribute("aria-label", `${label}. ${series.map(inWords).join(" ")}`);
    key.replaceChildren(...series.map((one) => el("li", {}, sample(one), `${one.name} `, el("b", {}, number(valueAt(one, at), 4)))));
  }

  plot.onpointermove = ({ clientX }) => {
    const hovered = Math.round(place.toX(clientX - plot.getBoundingClientRect().left));
    at = Math.max(1, Math.min(place.last, hovered));
    draw();
  };
  plot.onpointerleave = () => {
    at = null;
    draw();
  };
  new ResizeObserver(draw).observe(plot);
  return {
    node: el("div", { class: "line-chart" }, plot, key),
    set(next, last = 2) {
      series = next.map(withoutGaps).filter((one) => one.y.length);
      end = last;
      draw();
    },
  };
}

function withoutGaps(one) {
  const kept = one.y.map((_, i) => i).filter((i) => Number.isFinite(one.y[i]));
  return { ...one, x: kept.map((i) => one.x[i]), y: kept.map((i) => one.y[i]) };
}

/** Where the values of all series are in the plot. */
function places(series, end, width) {
  const values = series.flatMap((one) => one.y);
  const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const log = low > 0 && high / low > LOGARITHMIC;
  const named = width >= WIDE;
  const right = width - (named ? 20 + 6.5 * Math.max(4, ...series.map((one) => one.name.length)) : 12);
  const [left, top, bottom] = [56, 22, HEIGHT - 42];
  const last = Math.max(2, end, ...series.map((one) => one.x.at(-1)));
  const scale = log ? Math.log : (value) => value;
  const margin = 0.06 * (scale(high) - scale(low)) || 0.5 * Math.abs(scale(high)) || 1;
  const [from, to] = [scale(low) - margin, scale(high) + margin];
  return {
    width, left, right, top, bottom, last, log, named,
    x: (value) => left + ((right - left) * (value - 1)) / (last - 1),
    toX: (pixel) => 1 + ((last - 1) * (pixel - left)) / (right - left),
    y: (value) => bottom - ((bottom - top) * (scale(value) - from)) / (to - from),
    rows: log ? logTicks(Math.exp(from), Math.exp(to)) : ticks(from, to, 5),
    columns: ticks(1, last, Math.min(10, width / 60)).filter(Number.isInteger),
  };
}

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const first = Math.ceil(low / step);
  const found = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
  return found.map((value) => Number(value.toPrecision(12)));
}

function logTicks(low, high) {
  const powers = ticks(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)), 12).filter(Number.isInteger);
  const factors = powers.length > 4 ? [1] : [1, 2, 5];
  return powers.flatMap((power) => factors.map((factor) => factor * 10 ** power)).filter((value) => value >= low && value <= high);
}

function axes({ left, right, bottom, x, y, rows, columns, log }, xTitle, yTitle) {
  return [
    ...rows.flatMap((value) => [
      svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
      svg("text", { class: "end", x: left - 8, y: y(value) + 4 }, number(value)),
    ]),
    ...columns.map((value) => svg("text", { x: x(value), y: bottom + 18 }, value)),
    svg("text", { x: (left + right) / 2, y: HEIGHT - 6 }, xTitle),
    svg("text", { class: "start", x: 0, y: 11 }, log ? `${yTitle} (logarithmic)` : yTitle),
  ];
}

function cursor({ x, top, bottom }, at) {
  return at === null ? [] : [svg("line", { class: "cursor-line", x1: x(at), x2: x(at), y1: top, y2: bottom })];
}

function curve({ x, y, colour, dashed }, place) {
  const points = x.map((value, i) => `${place.x(value)},${place.y(y[i])}`).join(" ");
  const dots = x.length > 20 ? [] : x.map((value, i) => svg("circle", { class: `dot c${colour}`, cx: place.x(value), cy: place.y(y[i]), r: 3 }));
  return [svg("polyline", { class: `curve c${colour}${dashed ? " dashed" : ""}`, points }), ...dots];
}

/** The names at the right, each as near to the height of its line's end as those below it leave room. */
function names(series, { x, y, right, bottom }) {
  let room = bottom + 12;
  return [...series].sort((a, b) => y(b.y.at(-1)) - y(a.y.at(-1))).flatMap((one) => {
    const end = y(one.y.at(-1));
    room = Math.min(end, room - 14);
    const leader = svg("line", { class: `leader c${one.colour}`, x1: x(one.x.at(-1)) + 4, x2: right + 6, y1: end, y2: room });
    return [leader, svg("text", { class: `start c${one.colour}`, x: right + 10, y: room + 4 }, one.name)];
  });
}

function sample({ colour, dashed }) {
  const line = svg("line", { class: `curve c${colour}${dashed ? " dashed" : ""}`, x1: 0, x2: 22, y1: 5, y2: 5 });
  return svg("svg", { width: 22, height: 10, "aria-hidden": "true" }, line);
}

function valueAt({ x, y }, at) {
  return at === null ? y.at(-1) : y[x.indexOf(at)];
}

function inWords({ name, x, y }) {
  return `${name}: ${number(y[0], 4)} at ${x[0]}, ${number(y.at(-1), 4)} at ${x.at(-1)}.`;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = "Arrow keys move to the next sample, Enter goes there, Shift and Enter draws the way to it from where you are.";

/** In SVG: it follows the theme and the width by itself. Labels of one letter are drawn as such. */
export function scatterMap({ label, pictureOf, onpoint, online }) {
  const marks = svg("g");
  const way = svg("line", { class: "way" });
  const here = svg("circle", { class: "here nowhere", r: 2.4 });
  const ring = svg("circle", { class: "ring nowhere", r: 2.4 });
  const plot = svg("svg", { class: "map", viewBox: "0 0 100 100", tabindex: 0, role: "application", "aria-label": `${label}. ${KEYS}` }, marks, way, here, ring);
  const tip = picture("");
  const bubble = el("div", { class: "tip", hidden: true, "aria-hidden": "true" }, tip.node);
  const said = el("p", { class: "unseen", role: "status" });
  const key = el("div", { class: "key", role: "group", "aria-label": "Show one label only" });
  let points = [];
  let only = null;
  let current = null;
  let chosen = null;
  let from = null;

  const visible = () => points.filter((point) => only === null || point.label === only);

  function nearest({ clientX, clientY }) {
    const { left, top, width } = plot.getBoundingClientRect();
    const [x, y] = [(100 * (clientX - left)) / width, (100 * (clientY - top)) / width];
    return closest(visible(), (point) => Math.hypot(point.cx - x, point.cy - y));
  }

  function look(point) {
    if (current === point) return;
    current = point;
    put(ring, point);
    bubble.hidden = !point;
    if (!point) return;
    Object.assign(bubble.style, { left: `clamp(3rem, ${point.cx}%, 100% - 3rem)`, top: `${point.cy}%` });
    bubble.classList.toggle("below", point.cy < 30);
    pictureOf(point.index).then((image) => current === point && tip.set(image.shape ? image : null, "", { value: name(point) }), () => look(null));
  }

  function drawWay(a, b) {
    const ends = a && b && a !== b ? { x1: a.cx, y1: a.cy, x2: b.cx, y2: b.cy } : { x1: 0, y1: 0, x2: 0, y2: 0 };
    for (const [name, value] of Object.entries(ends)) way.setAttribute(name, value);
  }

  function choose(start, end) {
    drawWay(start, end);
    if (start && start !== end) online(start, end);
    else onpoint(end);
  }

  plot.onpointerdown = (event) => {
    from = nearest(event);
    if (event.isTrusted) plot.setPointerCapture(event.pointerId);
  };
  plot.onpointermove = (event) => {
    look(nearest(event));
    if (from) drawWay(from, current);
  };
  plot.onpointerup = (event) => {
    if (from) choose(event.shiftKey ? chosen : from, nearest(event));
    from = null;
  };
  plot.onpointercancel = () => (from = null);
  plot.onpointerleave = plot.onblur = () => look(null);
  plot.onkeydown = (event) => {
    const start = current ?? chosen ?? visible()[0];
    if (!start || (!ARROWS[event.key] && event.key !== "Enter")) return;
    event.preventDefault();
    if (event.key === "Enter") return choose(event.shiftKey ? chosen : null, start);
    look(neighbour(visible(), start, ARROWS[event.key]) ?? start);
    said.textContent = name(current);
  };

  function keyButton(one, i) {
    const node = button(String(one), () => show(one), `c${i % 10}`);
    node.setAttribute("aria-pressed", "false");
    return node;
  }

  function show(wanted) {
    only = only === wanted ? null : wanted;
    for (const point of points) point.mark.classList.toggle("faint", only !== null && point.label !== only);
    for (const one of key.children) one.setAttribute("aria-pressed", one.textContent === String(only));
  }

  return {
    node: el("div", {}, el("div", { class: "map-box" }, plot, bubble), key, said),
    set(found, labels) {
      only = null;
      points = found.map((point) => ({ ...point, sample: point.index, cx: 3 + 94 * point.x, cy: 97 - 94 * point.y }));
      for (const point of points) point.mark = mark(point, labels.indexOf(point.label));
      marks.replaceChildren(...points.map((point) => point.mark));
      key.replaceChildren(...labels.map((one, i) => keyButton(one, i)));
      key.hidden = !labels.length;
      drawWay();
      look(null);
    },
    mark(index) {
      chosen = points.find((point) => point.index === index) ?? null;
      put(here, chosen);
    },
  };
}

function mark({ cx, cy, label }, place) {
  const text = String(label ?? "");
  if (text.length === 1) return svg("text", { class: `mark c${place % 10}`, x: cx, y: cy }, text);
  return svg("circle", { class: `mark c${Math.max(0, place) % 10}`, cx, cy, r: 0.9 });
}

function put(circle, point) {
  circle.classList.toggle("nowhere", !point);
  if (!point) return;
  circle.setAttribute("cx", point.cx);
  circle.setAttribute("cy", point.cy);
}

function closest(points, distance) {
  return points.reduce((best, point) => (!best || distance(point) < distance(best) ? point : best), null);
}

/** The nearest point in a direction, up to 45 degrees off it. */
function neighbour(points, { cx, cy }, [right, down]) {
  const along = (point) => (point.cx - cx) * right + (point.cy - cy) * down;
  const aside = (point) => Math.abs((point.cx - cx) * down + (point.cy - cy) * right);
  const ahead = points.filter((point) => along(point) > 0 && aside(point) <= along(point));
  return closest(ahead, (point) => along(point) + aside(point));
}
