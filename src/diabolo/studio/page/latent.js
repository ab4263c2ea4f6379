// A slider per number of the code, the map of the test set, and the way between two of its points.

import { get, latest, post } from "./api.js";
import { cells, moved } from "./cells.js";
import { scatterMap, thumb } from "./charts.js";
import { name, request } from "./present.js";
import { button, el, number, picture, slider } from "./widgets.js";

const FIRST = 32; // sliders before "show all"
const MOST = 512;
const POINTS = 1000; // in the map
const STEPS = 9; // pictures of a way
const HINT = "Click one to go there. Drag from one to another to see what lies between them.";

export function mount(section, studio) {
  const input = picture("Present image");
  const output = picture("Decoded");
  const table = cells({ made: "Decoded", share: "Moved", percent: false });
  const sliders = el("div", { class: "code-sliders", role: "group", "aria-label": "Numbers of the code" });
  const more = button("", () => showSliders(!everything), "more");
  const map = scatterMap({ label: "Map of the test set by its codes", pictureOf, onpoint: go, online: walk });
  const about = el("p", { class: "muted" });
  const strip = el("div", { class: "strip" });
  const head = el("div", { class: "latent-head" }, input.node, output.node, el("div", { class: "tools" },
    button("Reset", () => setCode(start), "reset"), button("Average code", () => setCode(studio.info.code_mean), "average")));
  const fail = (error) => studio.say(error.message);
  const pictures = new Map();
  let controls = [];
  let everything = false;
  let code = [];
  let start = [];
  let asked = {};
  let base = []; // what the row's own code is decoded to
  let mapped = null;

  section.append(el("div", { class: "halves" },
    el("div", { class: "card" },
      head,
      sliders, more, table.node),
    el("div", { class: "card" }, el("h2", {}, "The test set, placed by its codes"), about, strip, map.node)));

  const decode = latest(async () => {
    const { model } = studio;
    const answer = await post("decode-pictures", { model, codes: [code] });
    if (model === studio.model) showOutput(answer.pictures[0], "The decoder's picture of the code in the sliders");
  }, fail);

  function showOutput(decoded, description) {
    const { columns } = studio.info;
    if (columns) table.set(studio.info, studio.image, decoded, moved(columns, base, decoded), null, decoded === base);
    else output.set(decoded, description);
  }

  const refresh = latest(async () => {
    const { model, sample } = studio;
    if (mapped !== model) drawMap(model);
    const seen = await post("view", request(studio));
    if (model !== studio.model) return;
    const tabular = Boolean(studio.info.columns);
    input.node.hidden = output.node.hidden = tabular;
    head.classList.toggle("plain", tabular);
    table.node.hidden = !tabular;
    if (!tabular) input.set(seen.input, `Present image: ${name(studio)}`, { value: sample === null ? "yours" : studio.label });
    showOutput((base = seen.output), "The decoder's picture of its code");
    code = [...seen.code];
    start = seen.code;
    showSliders(everything);
    map.mark(studio.file ? null : sample);
  }, fail);

  async function drawMap(model) {
    mapped = model;
    about.textContent = "Placing the test set…";
    strip.replaceChildren();
    map.set([], []);
    pictures.clear();
    const { points, labels, error } = await get("map", { model, count: POINTS }).catch((problem) => ({ points: [], labels: [], error: problem.message }));
    if (model !== studio.model) return;
    map.set(points, labels);
    map.mark(studio.file ? null : studio.sample);
    about.textContent = error ?? aboutMap(points.length, studio.info.code_size);
    strip.replaceChildren(el("p", {}, error ? "" : HINT));
  }

  function showSliders(all) {
    everything = all;
    const { code_size: size, code_range: range } = studio.info;
    const most = Math.min(size, all ? MOST : FIRST);
    const chosen = most === size ? [...code.keys()] : mostVarying(range).slice(0, most);
    controls = chosen.map((i) => ({ i, control: codeSlider(i, range) }));
    sliders.replaceChildren(...controls.map(({ control }) => control.node));
    more.hidden = size <= FIRST;
    more.textContent = !all && size <= MOST ? `Show all ${size}` : `Show the ${all ? FIRST : MOST} that vary most`;
  }

  function codeSlider(i, [lows, highs]) {
    const low = Math.min(lows[i], start[i]);
    const high = Math.max(highs[i], start[i]);
    const margin = 0.2 * (high - low) || 1;
    const control = slider({
      label: String(i + 1), help: `Number ${i + 1} of the code`, min: rounded(low - margin), max: rounded(high + margin), value: code[i],
      onchange(value) {
        code[i] = value;
        decode();
      },
    });
    control.set(code[i]);
    return control;
  }

  function setCode(next) {
    code = [...next];
    for (const { i, control } of controls) control.set(code[i]);
    decode();
  }

  async function pictureOf(index) {
    if (!pictures.has(index)) {
      const { items } = await get("samples", { model: studio.model, part: "test", start: index, count: 1 });
      pictures.set(index, items[0].picture);
    }
    return pictures.get(index);
  }

  function go({ index, label }) {
    studio.file = null;
    pictureOf(index).then((image) => studio.setImage(image, index, label), fail);
  }

  async function walk(from, to) {
    try {
      const { model } = studio;
      const { codes: [a, b] } = await get("codes", { model, index: [from.index, to.index] });
      const codes = Array.from({ length: STEPS }, (_, step) => mix(a, b, step / (STEPS - 1)));
      const answer = await post("decode-pictures", { model, codes });
      if (model !== studio.model) return;
      strip.replaceChildren(
        el("div", { class: "tiles" }, ...answer.pictures.map((image, step) => stepButton(image, step, codes[step]))),
        el("p", {}, `From ${name(from)}, to ${name(to)}.`));
    } catch (error) {
      fail(error);
    }
  }

  function stepButton(image, step, itsCode) {
    const tile = button("", () => setCode(itsCode), "tile");
    tile.setAttribute("aria-label", `Take the code ${number((100 * step) / (STEPS - 1))} % of the way`);
    tile.title = "Take its code into the sliders";
    tile.append(image.shape ? thumb(image) : `${number((100 * step) / (STEPS - 1), 2)} %`);
    return tile;
  }

  const update = () => {
    const { view, model, image } = studio;
    if (view !== "latent" || (asked.model === model && asked.image === image)) return;
    asked = { model, image };
    refresh();
  };
  studio.on("image", update);
  return { show: update };
}

function aboutMap(count, size) {
  return `${count} samples, by the two ${size === 2 ? "numbers" : "main directions"} of their codes.`;
}

function rounded(value) {
  return Number(value.toPrecision(4));
}

function mostVarying([lows, highs]) {
  const widths = lows.map((low, i) => highs[i] - low);
  return widths.map((_, i) => i).sort((a, b) => widths[b] - widths[a]);
}

function mix(a, b, share) {
  return a.map((value, i) => (1 - share) * value + share * b[i]);
}
