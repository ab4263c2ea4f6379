// The present image's score among those of normal images, and where in the image it goes wrong.

import { bytes, get, latest, makePicture, post } from "./api.js";
import { cells } from "./cells.js";
import { name, request, stepper, verdict } from "./present.js";
import { button, el, heat, heatLegend, number, picture, svg } from "./widgets.js";

export function mount(section, studio) {
  const draw = button("Draw one", () => studio.show("draw"), "draw-one");
  const steps = stepper(studio, draw);
  const map = picture("Where it goes wrong", "heatmap");
  const table = cells({ made: "Recon\u00adstruction", share: "Share of the error", first: 10, sorted: true });
  const mapped = el("div", {}, map.node, heatLegend("none", "full"));
  const title = el("h2", { class: "verdict" });
  const words = el("p", { "aria-live": "polite" });
  const plot = svg("svg", { class: "histogram", role: "img", "aria-label": "Scores" });
  const about = el("p", { class: "muted" });
  let normal = { model: null };
  section.append(steps.node, el("div", { class: "judge" },
    el("div", {}, mapped, table.node),
    el("div", { class: "card" }, title, words, plot, about)));

  const refresh = latest(async () => {
    const { info, image } = studio;
    const view = await post("view", request(studio));
    if (image !== studio.image) return;
    if (view.score !== null && normal.model !== studio.model) normal = { model: studio.model, ...(await scores(studio.model)) };
    const { title: short, words: sentence } = verdict(view, info);
    mapped.hidden = draw.hidden = Boolean(info.columns);
    table.node.hidden = !info.columns;
    if (info.columns) table.set(info, image, view.output, view.error, view.odd_cell?.column);
    else map.set(overlay(view.input, view.error), `Heat map over the image, ${name(studio)}: brighter where the reconstruction is wrong`);
    title.textContent = short;
    title.classList.toggle("odd", Boolean(view.odd));
    words.textContent = sentence;
    plot.toggleAttribute("hidden", view.score === null);
    about.textContent = "";
    if (view.score === null) return;
    const what = info.columns ? "row" : "image";
    drawHistogram(plot, normal, view.score, `this ${what}`);
    about.textContent = `Bars: scores of ${normal.count.toLocaleString("en")} normal ${what}s (${normal.what}). ${normal.threshold === null ? "They are too few for a threshold." : `Lower is odder: ${number(100 * normal.rate)} % of them lie below the threshold.`}`;
  }, (error) => studio.say(error.message));

  async function scores(model) {
    return get("normal", { model });
  }

  function update() {
    if (studio.view !== "anomaly" || !studio.image) return;
    steps.update();
    refresh();
  }
  studio.on("image", update);
  return { show: update };
}

/** The image in dim grey, covered by the colours of its error the more, the larger that is. */
function overlay({ shape: [channels, height, width], ...image }, error) {
  const size = height * width;
  const values = bytes({ ...image });
  const mixed = new Uint8Array(3 * size);
  bytes(error).forEach((wrong, i) => {
    let grey = 0;
    for (let c = 0; c < channels; c++) grey += (0.6 * values[c * size + i]) / channels;
    const cover = Math.min(1, wrong / 100);
    heat[wrong].forEach((colour, c) => (mixed[c * size + i] = grey + cover * (colour - grey)));
  });
  return makePicture([3, height, width], mixed);
}

function drawHistogram(plot, { edges, counts, threshold }, score, what) {
  const [low, high, width] = [edges[0], edges.at(-1), edges.at(-1) - edges[0]];
  const shown = Math.min(Math.max(score, low - width), high + width);
  const [from, to] = [Math.min(low, shown) - 0.03 * width, Math.max(high, shown) + 0.03 * width];
  const x = (value) => (100 * (value - from)) / (to - from);
  const tallest = Math.max(...counts);
  const columns = counts.map((count, i) => {
    const share = (70 * count) / tallest;
    return svg("rect", {
      class: threshold !== null && edges[i + 1] <= threshold ? "column odd" : "column",
      x: `${x(edges[i])}%`, width: `${x(edges[i + 1]) - x(edges[i])}%`, y: `${90 - share}%`, height: `${share}%`,
    });
  });
  plot.replaceChildren(...columns,
    svg("line", { class: "axis", x1: "0%", x2: "100%", y1: "90%", y2: "90%" }),
    ...ticks(from, to).map((tick) => svg("text", { x: `${x(tick)}%`, y: "90%", dy: 16 }, number(tick))),
    ...(threshold === null ? [] : marker("limit", x(threshold), "14%", threshold < score && x(threshold) > 30, `threshold ${number(threshold)}`)),
    ...marker("score", x(shown), "5%", x(shown) > 50, `${shown > score ? "← " : ""}${what} ${number(score)}${shown < score ? " →" : ""}`));
  plot.setAttribute("aria-label", `Histogram of normal scores, most between ${number(low)} and ${number(high)}; threshold ${number(threshold)}; ${what} has ${number(score)}.`);
}

function marker(className, x, y, left, text) {
  return [
    svg("line", { class: className, x1: `${x}%`, x2: `${x}%`, y1: y, y2: "90%" }),
    svg("text", { class: `${className} ${left ? "end" : "start"}`, x: `${x}%`, y, dx: left ? -6 : 6, dy: 4 }, text),
  ];
}

function ticks(from, to) {
  const rough = (to - from) / 8;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  const first = Math.ceil(from / step + 0.1);
  return Array.from({ length: 10 }, (_, i) => (first + i) * step).filter((tick) => tick < to - 0.1 * step);
}
