// The present image: stepper(studio, ...more) -> {node, update()} walks the test samples and opens a file;
// openFile(studio, file): an image, or a table whose rows are walked then; acceptFiles(studio, zone) takes what is dropped and pasted; request(studio) -> the body of /api/view for it;
// verdict(view, info) -> {title, words}: score and p-value in words; name(studio) -> "test sample 3, a 7".

import { get, readFile, send } from "./api.js";
import { button, el, number } from "./widgets.js";

export function stepper(studio, ...more) {
  const which = el("span", { class: "which", "aria-live": "polite" });
  const file = el("input", { type: "file", hidden: true, "aria-label": "File" });
  const open = button("", () => file.click(), "open");
  const total = () => studio.file?.items.length ?? studio.info.samples?.test ?? 0;
  const steps = [
    step("previous", () => go((studio.sample ?? 0) - 1), "← ", ""),
    step("next", () => go((studio.sample ?? -1) + 1), "", " →"),
    button("Random", () => go(Math.floor(Math.random() * total())), "random"),
  ];
  file.onchange = () => {
    studio.openFile(file.files[0]);
    file.value = "";
  };

  async function go(index) {
    const start = (index + total()) % total();
    if (studio.file) return studio.setImage(studio.file.items[start].picture, start);
    try {
      const { items } = await get("samples", { model: studio.model, part: "test", start, count: 1 });
      studio.setImage(items[0].picture, start, items[0].label);
    } catch (error) {
      studio.say(error.message);
    }
  }

  return {
    node: el("div", { class: "stepper" }, ...steps, open, file, ...more, which),
    update() {
      open.textContent = studio.info.columns ? "Open table…" : "Open image…";
      file.accept = studio.info.columns ? "" : "image/*";
      for (const one of steps) one.disabled = !total();
      which.textContent = sentenceCase(name(studio));
    },
  };
}

function step(word, onclick, before, after) {
  const node = button(before, onclick, word);
  node.append(el("span", { class: "wide" }, sentenceCase(word)), after);
  return node;
}

export async function openFile(studio, file) {
  try {
    if (studio.info.columns) await openTable(studio, file);
    else studio.setImage(await readFile(file, studio.info.shape));
  } catch (error) {
    studio.say(error.message);
  }
}

async function openTable(studio, file) {
  const answer = await send("rows", { model: studio.model, name: file.name }, file, "application/octet-stream");
  const { total, items } = await answer.json();
  studio.file = { name: file.name, items };
  studio.setImage(items[0].picture, 0);
  if (total > items.length) studio.say(`The first ${items.length} of the ${total.toLocaleString("en")} rows of ${file.name} can be walked.`, "status");
}

/** A row as a spreadsheet copies it, perhaps below its names; undefined where it is none of the model's. */
function pastedRow(text, columns) {
  const lines = text.trim().split(/\r?\n/);
  const mark = ["\t", ";", ","].find((one) => lines[0].split(one).length === columns.length);
  if (!mark || lines.length > 2) return undefined;
  const [names, values] = [lines[0], lines.at(-1)].map((line) => line.split(mark).map((cell) => cell.trim()));
  return lines.length === 1 ? values : columns.map(({ name }) => values[names.indexOf(name)] ?? "");
}

export function acceptFiles(studio, zone) {
  const takes = (file) => studio.info.columns || studio.view === "photo" || file.type.startsWith("image/");
  const chosen = (transfer) => [...transfer.files].find(takes);
  const wanted = () => studio.view && !["train", "models"].includes(studio.view);
  document.addEventListener("paste", (event) => {
    if (!wanted()) return;
    const file = chosen(event.clipboardData);
    if (file) return studio.openFile(file);
    const row = studio.info.columns && pastedRow(event.clipboardData.getData("text"), studio.info.columns);
    if (!row || row.length < 2) return;
    event.preventDefault();
    document.activeElement.blur();
    studio.setImage(row);
  });
  zone.addEventListener("dragover", (event) => {
    if (!wanted()) return;
    event.preventDefault();
    zone.classList.add("dropping");
  });
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("dropping"));
  zone.addEventListener("drop", (event) => {
    if (!wanted()) return;
    event.preventDefault();
    const file = chosen(event.dataTransfer);
    if (file) studio.openFile(file);
    else studio.say(studio.info.columns ? "Drop a table: a CSV or Parquet file." : "Drop an image file: PNG or JPEG.");
  });
}

export function request(studio) {
  const { model, image, file } = studio;
  const own = file || studio.sample === null;
  return { model, image: own ? image : null, sample: own ? null : studio.sample, code: null, corruption: null, seed: 0 };
}

export function name({ sample, label, file, info }) {
  if (sample === null) return info?.columns ? "your own row" : "your own image";
  if (file) return `row ${sample + 1} of ${file.name}`;
  return `test sample ${sample}${label === null ? "" : `, a ${label}`}`;
}

export function verdict({ score, p_value: p, odd }, { threshold, columns }) {
  if (score === null) return { title: "No score", words: "This model has no normal samples to compare with." };
  const what = columns ? "rows" : "images";
  if (threshold === null) return { title: "Not judged", words: `Score ${number(score)}. There are too few normal ${what} to compare with.` };
  return { title: odd ? "Odd" : "Usual", words: `Score ${number(score)}. ${rarity(p, what)}` };
}

function rarity(p, what) {
  if (p === null) return "";
  if (p < 0.001) return `Fewer than 1 in 1000 normal ${what} look this odd.`;
  const [share, of] = p < 0.01 ? [Math.round(1000 * p), 1000] : [Math.round(100 * p), 100];
  return `${share} in ${of} normal ${what} look this odd or odder (p = ${number(p, 2)}).`;
}

export function sentenceCase(text) {
  return text[0].toUpperCase() + text.slice(1);
}
