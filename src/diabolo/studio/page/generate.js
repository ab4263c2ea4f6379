// New samples from codes that no image was given for, beside the training samples nearest to them.

import { get, latest } from "./api.js";
import { thumb } from "./charts.js";
import { button, el, number, slider } from "./widgets.js";

const COUNT = 25;

export function mount(section, studio) {
  const temperature = slider({ label: "Temperature", help: "How far codes are drawn from the middle of their law", min: 0, max: 2, step: 0.05, value: 1, onchange: () => ask() });
  const nearest = el("input", { type: "checkbox", id: "nearest", onchange: () => ask() });
  const law = el("p", { class: "muted", id: "law" });
  const copies = el("p", { class: "muted", id: "copies" });
  const samples = el("div", { class: "samples" });
  let seed = 0;
  let drawn = null;

  section.append(el("div", { class: "generate" },
    el("div", { class: "card" }, temperature.node, button("More", () => ask(++seed), "primary more"),
      el("label", { class: "check" }, nearest, "Nearest training sample beside each"), law, copies),
    samples));

  const ask = latest(async () => {
    const { model } = studio;
    const asked = { n: COUNT, temperature: temperature.value, seed, nearest: nearest.checked };
    const answer = await get("new", { model, ...asked });
    if (model !== studio.model) return;
    drawn = model;
    law.textContent = `Codes drawn from ${answer.law}, temperature ${number(asked.temperature)}, seed ${asked.seed}, then decoded. Click one to take it into Draw.`;
    copies.textContent = asked.nearest ? aboutCopies(answer.items) : "";
    show(answer.items);
  }, (error) => {
    law.textContent = error.message;
    copies.textContent = "";
    show([]);
  });

  function show(items) {
    while (samples.children.length > items.length) samples.lastChild.remove();
    while (samples.children.length < items.length) samples.append(el("figure", {}, button("", null, "tile"), el("figcaption")));
    samples.classList.toggle("with-nearest", nearest.checked);
    items.forEach((item, i) => fill(samples.children[i], item, i));
  }

  function fill(figure, item, i) {
    const [tile, caption] = figure.children;
    tile.onclick = () => {
      studio.setImage(item.picture);
      studio.show("draw");
    };
    tile.setAttribute("aria-label", `New sample ${i + 1}: take it into Draw`);
    tile.replaceChildren(thumb(item.picture), ...(item.nearest ? [thumb(item.nearest.picture)] : []));
    caption.textContent = item.nearest ? number(item.nearest.distance) : "";
    caption.title = item.nearest ? `Distance from training sample ${item.nearest.index}` : "";
  }

  const update = () => {
    if (studio.view === "generate" && drawn !== studio.model) ask();
  };
  studio.on("model", update);
  return { show: update };
}

function aboutCopies(items) {
  const distances = items.map((item) => item.nearest.distance);
  return `The second of each pair is the training sample nearest to it. Between their pixels are distances of ${number(Math.min(...distances))} to ${number(Math.max(...distances))}; a copy would have one near 0.`;
}
