// pad({label, caption, onstroke(picture)}) -> {node, canvas, set(picture), clear(), note(text), last}: last = the picture last drawn.

import { blank, fromImageData, toImageData } from "./api.js";
import { button, el, paint, slider } from "./widgets.js";

const HALO = [["#555", 1.1], ["#aaa", 0.5], ["#fff", 0]]; // greys, and by how many pixels they reach beyond the stroke

/** Draws strokes at a finer resolution and averages them down to the model's: soft edges, as of scanned ink. */
export function pad({ label, caption, onstroke }) {
  const canvas = el("canvas", { class: "pad", tabIndex: 0, role: "application" });
  const cursor = el("span", { class: "cursor", hidden: true });
  const ink = el("canvas").getContext("2d", { willReadFrequently: true });
  const brush = slider({ label: "Brush", min: 0.5, max: 6, step: 0.1, value: 2 });
  const colour = el("input", { type: "color", value: "#ffffff", "aria-label": "Colour", hidden: true });
  const eraser = el("input", { type: "checkbox" });
  const value = el("span", { class: "value" });
  let shape = [1, 28, 28];
  let scale = 8;
  let last = null;
  let keys = null;

  const api = {
    canvas,
    last: null,
    set(image) {
      shape = image.shape;
      scale = Math.max(2, Math.min(8, Math.floor(320 / shape[2])));
      [ink.canvas.width, ink.canvas.height] = [shape[2] * scale, shape[1] * scale];
      ink.imageSmoothingEnabled = false;
      paint(canvas, toImageData(image));
      ink.drawImage(canvas, 0, 0, ink.canvas.width, ink.canvas.height);
      colour.hidden = shape[0] === 1;
      canvas.setAttribute("aria-label", `${label}, ${shape[2]} by ${shape[1]} pixels. Draw with the pointer; or move with the arrow keys, put the pen down and up with Space, erase with E.`);
    },
    note(text) {
      value.textContent = text;
    },
    clear() {
      api.set(blank(shape));
      changed();
    },
  };

  function changed() {
    const small = average(ink, scale);
    paint(canvas, small);
    api.last = fromImageData(small, shape[0]);
    onstroke(api.last);
  }

  function line(from, to, pressure = 1) {
    const width = brush.value * pressure;
    if (eraser.checked) trace(from, to, "#000", width);
    else if (shape[0] === 3) trace(from, to, colour.value, width);
    else HALO.forEach(([grey, wider]) => trace(from, to, grey, width + wider));
  }

  function trace(from, to, paintColour, width) {
    Object.assign(ink, { strokeStyle: paintColour, lineWidth: width * scale, lineCap: "round" });
    ink.globalCompositeOperation = shape[0] === 1 && !eraser.checked ? "lighten" : "source-over";
    ink.beginPath();
    ink.moveTo(from.x * scale, from.y * scale);
    ink.lineTo(to.x * scale, to.y * scale);
    ink.stroke();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * shape[2], y: ((event.clientY - box.top) / box.height) * shape[1] };
  }

  canvas.onpointerdown = (event) => {
    if (event.button) return;
    try { canvas.setPointerCapture(event.pointerId); } catch { /* a pointer made by a script */ }
    last = place(event);
    line(last, last);
    changed();
  };
  canvas.onpointermove = (event) => {
    if (!last) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) {
      const here = place(one);
      line(last, here, one.pointerType === "pen" ? 0.5 + one.pressure : 1);
      last = here;
    }
    changed();
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    last = null;
  };

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.onkeydown = (event) => {
    keys ??= { x: shape[2] / 2, y: shape[1] / 2, down: false };
    const before = { ...keys };
    if (moves[event.key]) {
      keys.x = Math.max(0, Math.min(shape[2], keys.x + moves[event.key][0]));
      keys.y = Math.max(0, Math.min(shape[1], keys.y + moves[event.key][1]));
    } else if (event.key === " ") keys.down = !keys.down;
    else if (event.key.toLowerCase() === "e") eraser.checked = !eraser.checked;
    else return;
    event.preventDefault();
    showCursor();
    if (!keys.down) return;
    line(before, keys);
    changed();
  };
  canvas.onblur = () => {
    cursor.hidden = true;
    if (keys) keys.down = false;
  };

  function showCursor() {
    cursor.hidden = false;
    cursor.classList.toggle("down", keys.down);
    cursor.style.left = `${(keys.x / shape[2]) * canvas.clientWidth}px`;
    cursor.style.top = `${(keys.y / shape[1]) * canvas.clientHeight}px`;
  }

  const erase = el("label", { class: "check" }, eraser, "Erase");
  api.node = el("div", { class: "pad-box" }, el("figure", { class: "pad-frame" }, canvas, cursor,
    el("figcaption", {}, el("span", {}, caption), value)), el("div", { class: "tools" }, brush.node, colour, erase, button("Clear", api.clear)));
  api.set(blank(shape));
  return api;
}

function average(ink, scale) {
  const { width, height } = ink.canvas;
  const { data } = ink.getImageData(0, 0, width, height);
  const small = new ImageData(width / scale, height / scale);
  const sums = new Float32Array(small.data.length);
  for (let y = 0, i = 0; y < height; y++) {
    const row = Math.floor(y / scale) * small.width;
    for (let x = 0; x < width; x++, i += 4) {
      const j = 4 * (row + Math.floor(x / scale));
      sums[j] += data[i];
      sums[j + 1] += data[i + 1];
      sums[j + 2] += data[i + 2];
    }
  }
  for (let j = 0; j < sums.length; j++) small.data[j] = j % 4 === 3 ? 255 : Math.round(sums[j] / scale ** 2);
  return small;
}
