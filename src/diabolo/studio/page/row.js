// The present row: its cells, what the network makes of them, and which of them are odd.

import { latest, post } from "./api.js";
import { cells } from "./cells.js";
import { request, stepper, verdict } from "./present.js";
import { bars, el } from "./widgets.js";

export function mount(section, studio) {
  const steps = stepper(studio);
  const table = cells({ made: "Recon\u00adstruction", share: "Share of the error", onedit: (row) => studio.setImage(row) });
  const title = el("h2", { class: "verdict" });
  const words = el("p", { "aria-live": "polite" });
  const odd = el("p", { class: "odd-cell-words" });
  const code = bars("Code");
  const size = el("h2");
  const hint = el("small", {}, "Change a value, paste a row from a spreadsheet, or drop a table.");
  section.append(steps.node, el("div", { class: "row-view" },
    el("div", { class: "card" }, table.node, hint),
    el("div", { class: "stack" }, el("div", { class: "card" }, title, words, odd), el("div", { class: "card" }, size, code.node))));

  const refresh = latest(async (edited) => {
    const { image, info } = studio;
    const view = await post("view", request(studio));
    if (image !== studio.image) return;
    table.set(info, image, view.output, view.error, view.odd_cell?.column, !edited);
    const { title: short, words: sentence } = verdict(view, studio.info);
    title.textContent = short;
    title.classList.toggle("odd", Boolean(view.odd));
    words.textContent = sentence;
    odd.replaceChildren(...oddInWords(info.columns, view.odd_cell));
    size.textContent = `Code: ${info.columns.length} columns in ${view.code.length} numbers`;
    code.set(view.code, info.code_range);
  }, (problem) => studio.say(problem.message));

  function present() {
    if (studio.view !== "row" || !studio.image) return;
    steps.update();
    refresh(table.node.contains(document.activeElement) && document.activeElement.closest("td"));
  }
  studio.on("image", present);
  return { show: present };
}

function oddInWords(columns, odd) {
  return odd ? [el("b", {}, columns[odd.column].name), `: ${odd.value}, where ${odd.normal} would be normal`] : [];
}
