// The runs below the working directory: their numbers, and some of them side by side.

import { get, latest, post, psnr, text as textOf } from "./api.js";
import { lineChart, pictureRows } from "./charts.js";
import { sentenceCase } from "./present.js";
import { button, el, findingList, number } from "./widgets.js";

const TICKED = 3; // at first
const LOOKED = 100; // test samples, among which the first of each label is found

export function mount(section, studio) {
  const empty = el("div", { class: "notice", hidden: true },
    el("p", {}, "There is no run below the working directory yet."), button("Train a model", () => studio.show("train"), "primary"));
  const table = el("table", { class: "models" });
  const chart = lineChart({ label: "Loss by epoch", x: "epoch", y: "loss" });
  const digits = el("div", { class: "ten" });
  const findings = el("div", { class: "card", id: "findings" });
  const compared = el("div", { class: "stack" }, findings,
    el("div", { class: "card" }, el("h2", {}, "Loss"), el("p", { class: "muted" }, "Validation, or training where there is none. Losses of different likelihoods have different units."), chart.node),
    el("div", { class: "card" }, el("h2", {}, "The same ten samples"), digits));
  const box = el("div", { class: "card table-box", role: "region", "aria-label": "Table of models", tabIndex: 0 }, table,
    el("small", {}, "Bold: the smaller error, the model's or that of the best linear method with the same code size (PCA, or a linear denoiser)."));
  const page = el("div", { class: "card report", hidden: true, tabIndex: -1, "aria-label": "Report" });
  const filled = el("div", { class: "stack" }, box, page, compared);
  section.append(empty, filled);
  const fail = (error) => studio.say(error.message);
  const ticked = new Set();
  let models = [];
  let comparedBy = [];
  let order = { column: "When", down: true };

  const refresh = latest(async () => {
    ({ models, columns: comparedBy } = await get("models"));
    empty.hidden = models.length > 0;
    filled.hidden = !models.length;
    for (const path of ticked) if (!models.some((model) => model.path === path)) ticked.delete(path);
    if (!ticked.size) firstTicks(models, studio.model).forEach((model) => ticked.add(model.path));
    draw();
    await compare();
  }, fail);

  function draw() {
    const columns = columnsOf(comparedBy);
    const { value } = columns.find((column) => column.name === order.column) ?? columns.at(-1);
    const sorted = [...models].sort((a, b) => compareValues(value(a), value(b), order.down));
    const focused = document.activeElement?.closest?.("th, tr")?.dataset.name;
    table.replaceChildren(
      el("thead", {}, el("tr", {}, el("td"), el("td"), ...columns.map(head))),
      el("tbody", {}, ...sorted.map((model) => row(model, columns))));
    if (focused) table.querySelector(`[data-name="${CSS.escape(focused)}"] :is(button, input)`)?.focus();
  }

  function head({ name, help, text }) {
    const down = order.column === name ? order.down : null;
    const sort = button(`${name}${down === null ? "" : down ? " ↓" : " ↑"}`, () => {
      order = { column: name, down: !down };
      draw();
    }, "sort");
    return el("th", { scope: "col", class: text ? "" : "number", title: help, "data-name": name, "aria-sort": down === null ? "none" : down ? "descending" : "ascending" }, sort);
  }

  function row(model, columns) {
    const tick = el("input", { type: "checkbox", checked: ticked.has(model.path), "aria-label": `Compare ${model.path}` });
    tick.onchange = () => {
      if (tick.checked) ticked.add(model.path);
      else ticked.delete(model.path);
      compare();
    };
    const used = model.path === studio.model;
    const use = used ? el("strong", {}, "in use") : button("Use", () => studio.open(model.path), "use");
    if (!used) use.setAttribute("aria-label", `Use ${model.path}`);
    const report = button("Report", () => open(model), "use");
    report.setAttribute("aria-label", `Report of ${model.path}`);
    return el("tr", { "data-name": model.path, class: used ? "used" : "" }, el("td", {}, tick), el("td", {}, use, ...(model.report ? [" ", report] : [])),
      ...columns.map((column, i) => el(i ? "td" : "th", { class: `${column.text ? "" : "number"} ${column.best?.(model) ? "best" : ""}`, scope: i ? null : "row", title: i ? null : model.path }, show(column, model))));
  }

  const open = latest(async (model) => {
    page.replaceChildren(button("Close", () => (page.hidden = true), "use"), ...reportOf(await textOf("report", { model: model.path })));
    page.hidden = false;
    page.focus();
    page.scrollIntoView();
  }, fail);

  const compare = latest(async () => {
    const chosen = models.filter((model) => ticked.has(model.path));
    compared.hidden = !chosen.length;
    chart.set(chosen.map((model, i) => ({ name: model.name, x: model.history.epoch ?? [], y: losses(model.history), colour: i % 10, dashed: i > 9 })));
    const found = chosen.filter((model) => model.findings.length);
    findings.hidden = !found.length;
    findings.replaceChildren(el("h2", {}, "What the doctor found"), ...found.flatMap((model) => [el("h3", {}, model.name), findingList(model.findings)]));
    const rows = await tenOf(chosen);
    digits.parentNode.hidden = !rows.length;
    digits.replaceChildren(pictureRows(rows));
  }, fail);

  studio.on("model", () => studio.view === "models" && refresh());
  return { show: refresh };
}

/** The nodes of a report's page, without its styles and links, and with no attributes but those of its pictures. */
function reportOf(html) {
  const plain = html.replace(/<style>[^]*?<\/style>/g, ""); // which the page's policy would refuse
  const main = new DOMParser().parseFromString(plain, "text/html").querySelector("main");
  for (const link of main?.querySelectorAll("nav, script") ?? []) link.remove();
  for (const node of main?.querySelectorAll("*") ?? []) {
    const kept = { alt: node.getAttribute("alt"), src: node.getAttribute("src"), class: node.className };
    for (const { name } of [...node.attributes]) node.removeAttribute(name);
    if (kept.src?.startsWith("data:image/png;base64,")) node.src = kept.src;
    if (kept.alt) node.alt = kept.alt;
    if (kept.class) node.className = kept.class;
  }
  return [...(main?.childNodes ?? [])];
}

function firstTicks(models, current) {
  const newest = [...models].sort((a, b) => b.when.localeCompare(a.when));
  return newest.sort((a, b) => (b.path === current) - (a.path === current)).slice(0, TICKED);
}

/** What the table shows: {name, help, value(model), text?, best(model)?}. */
function columnsOf(compared) {
  const own = (model) => model.metrics.test?.mse;
  const linear = (model) => model.metrics.linear?.mse;
  const best = { "test mse": (model) => own(model) <= linear(model), "linear mse": (model) => linear(model) < own(model) };
  return [
    { name: "Name", text: true, value: (model) => model.name },
    { name: "Recipe", text: true, value: (model) => model.recipe },
    { name: "Kind", text: true, value: (model) => model.kind },
    ...compared.map(({ group, name, title, help }) => ({ name: title, help: sentenceCase(help), value: (model) => model.metrics[group]?.[name], best: best[`${group} ${name}`] })),
    { name: "Weights", help: "Numbers that were learnt", value: (model) => model.metrics.parameters },
    { name: "Seconds", help: "Of training", value: (model) => model.metrics.seconds },
    { name: "When", text: true, value: (model) => model.when },
  ];
}

function show({ name, text, value }, model) {
  const found = value(model);
  if (model.running && name === "When") return "training now";
  if (name === "When") return new Date(found).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  if (text || found === undefined || found === null) return found || "–";
  return Number.isInteger(found) ? found.toLocaleString("en") : number(found);
}

/** What is missing comes last, either way. */
function compareValues(a, b, down) {
  const [missing, other] = [a ?? null, b ?? null].map((value) => value === null);
  if (missing || other) return missing - other;
  const sign = typeof a === "string" ? a.localeCompare(b) : a - b;
  return down ? -sign : sign;
}

function losses({ loss = [], val_loss: validation = [] }) {
  return validation.some((value) => value !== null) ? validation : loss;
}

/** What each model makes of ten samples, as pictureRows takes it. */
async function tenOf(chosen) {
  const rows = [];
  let inputs = [];
  for (const model of chosen) {
    try {
      const items = await firstOfEach(model.path);
      if (items.length && !items[0].picture.shape) continue; // rows of a table
      const index = items.map((item) => item.index);
      const { codes } = await get("codes", { model: model.path, index });
      const { pictures } = await post("decode-pictures", { model: model.path, codes });
      const own = items.map((item) => item.picture);
      if (String(inputs.map((one) => one.pixels)) !== String(own.map((one) => one.pixels))) {
        inputs = own;
        rows.push({ name: "Input", pictures: own });
      }
      rows.push({ name: model.name, note: ` ${number(mean(pictures.map((one, i) => psnr(one, own[i]))))} dB`, pictures });
    } catch (error) {
      rows.push({ name: model.name, note: ` ${error.message}`, pictures: [] });
    }
  }
  return rows;
}

/** The first test sample of each label, or the first ten. */
async function firstOfEach(model) {
  const { items } = await get("samples", { model, part: "test", start: 0, count: LOOKED });
  const first = new Map(items.map((item) => [item.label, item]).reverse());
  const found = [...first.values()].sort((a, b) => a.label - b.label);
  return first.size > 1 ? found.slice(0, 10) : items.slice(0, 10);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
