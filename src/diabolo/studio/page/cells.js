// cells({made, share, percent?, first?, sorted?, onedit?}) -> {node, set(studio.info, row, made, shares, odd?, fresh?)}: a row of a table, a line a cell; of a signal its curve, too.
// `share`: the heading of the bars; `first`: lines before "show all", `sorted`: those with the largest bars; onedit(row): a cell was
// changed by hand; `fresh`: another row, whose lines are put in order anew. moved(columns, from, to) -> how far each cell moved.  text(cell) -> text.  download(name, columns, rows): a CSV file.

import { lineChart } from "./charts.js";
import { button, el, number } from "./widgets.js";

const CHANNELS = 4; // of a signal that are drawn

export function cells({ made: heading, share: measure, percent = true, first = 40, sorted = false, onedit }) {
  const find = el("input", { type: "search", placeholder: "Find a column", "aria-label": "Find a column" });
  const order = el("select", { "aria-label": "Order" }, new Option("As in the table", ""), new Option("Largest first", "largest"));
  const more = button("", () => arrange(!everything), "more");
  const body = el("tbody");
  const chart = lineChart({ label: "The signal, and what is made of it", x: "Step", y: "Value" });
  const table = el("table", { class: "cells" }, el("thead", {}, el("tr", {}, ...["Column", "Value", heading, measure].map((one, i) =>
    el("th", { scope: "col", class: i === 1 || i === 2 ? "number" : "" }, one)))), body);
  let lines = [];
  let shares = [];
  let row = [];
  let everything = false;
  let built = null;

  function build(columns) {
    built = columns;
    lines = columns.map((column, i) => line(column, onedit && ((value) => {
      row = row.map((cell, j) => (j === i ? value : cell));
      onedit(row);
    })));
    order.value = sorted || columns.length > first ? "largest" : "";
    find.value = "";
    find.hidden = more.hidden = columns.length <= first;
    everything = false;
  }

  function arrange(all = everything) {
    everything = all;
    const wanted = find.value.trim().toLowerCase();
    const found = lines.map((one, i) => ({ ...one, share: shares[i] })).filter(({ name }) => name.toLowerCase().includes(wanted));
    if (order.value) found.sort((a, b) => b.share - a.share);
    const shown = everything ? found : found.slice(0, first);
    body.replaceChildren(...shown.map(({ node }) => node));
    more.textContent = everything ? `Show ${first} of ${lines.length} columns` : `Show all ${lines.length} columns`;
  }
  find.oninput = order.onchange = () => arrange();

  return {
    node: el("div", { class: "cells-box" }, el("div", { class: "tools" }, find, order), chart.node, table, more),
    set({ columns, signal }, values, outputs, bars, odd = null, fresh = true) {
      chart.node.hidden = !signal;
      if (signal) chart.set(curves(signal, values, outputs, heading));
      if (built !== columns) build(columns);
      [row, shares] = [values, bars];
      const most = Math.max(...bars) || 1;
      lines.forEach((one, i) => one.set(values[i], outputs[i], { size: bars[i] / most, words: percent ? `${number(100 * bars[i], 2)} %` : "" }, i === odd));
      if (fresh) arrange();
    },
  };
}

/** The first channels of a signal, and beside each what is made of it. */
function curves([channels, steps], values, outputs, heading) {
  const x = Array.from({ length: steps }, (_, i) => i + 1);
  return Array.from({ length: Math.min(channels, CHANNELS) }, (_, colour) => {
    const of = (row) => row.slice(colour * steps, (colour + 1) * steps).map((value) => Number(value ?? NaN));
    const number = channels > 1 ? ` ${colour + 1}` : "";
    return [{ name: `Value${number}`, x, y: of(values), colour }, { name: heading + number, x, y: of(outputs), colour, dashed: true }];
  }).flat();
}

function control({ name, kind, choices, gaps }) {
  const label = { "aria-label": `Value of ${name}` };
  if (choices) return el("select", label, ...(gaps ? [new Option("–", "")] : []), ...choices.map((choice) => new Option(choice, choice)));
  return el("input", { type: "text", inputMode: kind === "number" ? "decimal" : "text", autocomplete: "off", ...label });
}

function line(column, onedit) {
  const { name } = column;
  const value = onedit ? control(column) : el("span");
  const made = el("td", { class: "number" });
  const bar = el("span", { class: "bar" });
  const share = el("span", { class: "share" });
  const node = el("tr", {}, el("th", { scope: "row", title: name }, name), el("td", { class: "number" }, value), made, el("td", { class: "odd-cell" }, bar, share));
  let last;
  if (onedit) {
    value.oninput = () => {
      const fits = suits(value.value, column);
      value.setAttribute("aria-invalid", !fits);
      if (fits) onedit((last = value.value));
    };
    value.onchange = () => {
      value.value = last;
      value.setAttribute("aria-invalid", false);
    };
  }
  return {
    name,
    node,
    set(cell, output, { size, words }, odd) {
      if (!onedit) value.textContent = text(cell);
      else if (document.activeElement !== value) last = value.value = cell ?? "";
      made.textContent = text(output);
      bar.style.setProperty("--size", size);
      share.textContent = words;
      node.classList.toggle("odd", odd);
    },
  };
}

function suits(words, { kind, choices, gaps }) {
  if (!words.trim()) return gaps;
  if (kind === "date") return /^\d{4}-\d\d-\d\d/.test(words) && Number.isFinite(Date.parse(words.slice(0, 10)));
  return Boolean(choices) || Number.isFinite(Number(words.replace(",", ".")));
}

export function text(cell) {
  return typeof cell === "string" ? cell : number(cell, 5);
}

export function moved(columns, from, to) {
  return columns.map(({ scale }, i) => (typeof to[i] === "number" ? Math.abs(to[i] - from[i]) / scale : Number(to[i] !== from[i])));
}

export function download(name, columns, rows) {
  const quoted = (cell) => (/[",\n\r]/.test(cell ?? "") ? `"${cell.replaceAll('"', '""')}"` : cell ?? "");
  const lines = [columns.map((column) => column.name), ...rows].map((cells) => cells.map(quoted).join(","));
  save(name, new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
}

export function save(name, blob) {
  const link = el("a", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
