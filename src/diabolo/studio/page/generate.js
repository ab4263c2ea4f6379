// New samples from codes that no image was given for, beside the training samples nearest to them.

import { get, latest } from "./api.js";
import { download, text } from "./cells.js";
import { thumb } from "./charts.js";
import { button, el, number, slider } from "./widgets.js";

const COUNT = 25;
const MOST = 1000; // rows at a time

export function mount(section, studio) {
  const temperature = slider({ label: "Temperature", help: "How far codes are drawn from the middle of their law", min: 0, max: 2, step: 0.05, value: 1, onchange: () => ask() });
  const nearest = el("input", { type: "checkbox", id: "nearest", onchange: () => ask() });
  const beside = el("label", { class: "check" }, nearest, "Nearest training sample beside each");
  const many = slider({ label: "Rows", help: "How many rows", min: 1, max: MOST, step: 1, value: COUNT, onchange: () => ask() });
  const keep = button("Download CSV", () => download(`${studio.info.name}-new.csv`, studio.info.columns, rows), "download");
  const law = el("p", { class: "muted", id: "law" });
  const copies = el("p", { class: "muted", id: "copies" });
  const samples = el("div", { class: "samples" });
  const table = el("table", { class: "models new-rows" });
  const box = el("div", { class: "card table-box", role: "region", "aria-label": "New rows", tabIndex: 0 }, table);
  let seed = 0;
  let drawn = null;
  let rows = [];

  section.append(el("div", { class: "generate" },
    el("div", { class: "card" }, temperature.node, many.node, el("div", { class: "tools" }, button("More", () => ask(++seed), "primary more"), keep),
      beside, law, copies),
    samples, box));

  const ask = latest(async () => {
    const { model, info: { columns } } = studio;
    samples.hidden = beside.hidden = Boolean(columns);
    box.hidden = many.node.hidden = keep.hidden = !columns;
    const asked = { n: columns ? many.value : COUNT, temperature: temperature.value, seed, nearest: !columns && nearest.checked };
    const answer = await get("new", { model, ...asked });
    if (model !== studio.model) return;
    drawn = model;
    law.textContent = `Codes drawn from ${answer.law}, temperature ${number(asked.temperature)}, seed ${asked.seed}, then decoded. Click one to take it into ${columns ? "Row" : "Draw"}.`;
    copies.textContent = asked.nearest ? aboutCopies(answer.items) : "";
    if (columns) showRows(columns, (rows = answer.items.map((item) => item.picture)));
    else show(answer.items);
  }, (error) => {
    law.textContent = error.message;
    copies.textContent = "";
    show([]);
    table.replaceChildren();
  });

  function showRows(columns, found) {
    table.replaceChildren(
      el("thead", {}, el("tr", {}, el("td"), ...columns.map(({ name }) => el("th", { scope: "col", class: "number" }, name)))),
      el("tbody", {}, ...found.map((row, i) => el("tr", {}, el("td", {}, taker(row, i)), ...row.map((cell) => el("td", { class: "number" }, text(cell)))))));
  }

  function taker(row, i) {
    const take = button(String(i + 1), () => {
      studio.setImage(row);
      studio.show("row");
    }, "use");
    take.setAttribute("aria-label", `New row ${i + 1}: take it into Row`);
    return take;
  }

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
