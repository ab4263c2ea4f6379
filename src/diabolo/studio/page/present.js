// The present image: stepper(studio, ...more) -> {node, update()} walks the test samples and opens a file;
// acceptImages(studio, zone) takes dropped and pasted images; request(studio) -> the body of /api/view for it;
// verdict(view) -> {title, words}: score and p-value in words; name(studio) -> "test sample 3, a 7".

import { get, readFile } from "./api.js";
import { button, el, number } from "./widgets.js";

export function stepper(studio, ...more) {
  const which = el("span", { class: "which", "aria-live": "polite" });
  const file = el("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Image file" });
  const total = () => studio.info.samples?.test ?? 0;
  const steps = [
    step("previous", () => go((studio.sample ?? 0) - 1), "← ", ""),
    step("next", () => go((studio.sample ?? -1) + 1), "", " →"),
    button("Random", () => go(Math.floor(Math.random() * total())), "random"),
  ];
  file.onchange = () => {
    openFile(studio, file.files[0]);
    file.value = "";
  };

  async function go(index) {
    const start = (index + total()) % total();
    try {
      const { items } = await get("samples", { model: studio.model, part: "test", start, count: 1 });
      studio.setImage(items[0].picture, start, items[0].label);
    } catch (error) {
      studio.say(error.message);
    }
  }

  return {
    node: el("div", { class: "stepper" }, ...steps, button("Open image…", () => file.click(), "open"), file, ...more, which),
    update() {
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

async function openFile(studio, file) {
  if (!file) return;
  try {
    studio.setImage(await readFile(file, studio.info.shape));
  } catch (error) {
    studio.say(error.message);
  }
}

export function acceptImages(studio, zone) {
  const image = (transfer) => [...transfer.files].find((file) => file.type.startsWith("image/"));
  const wanted = () => studio.view && !["train", "models"].includes(studio.view);
  document.addEventListener("paste", (event) => {
    if (wanted()) openFile(studio, image(event.clipboardData));
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
    const file = image(event.dataTransfer);
    if (file) openFile(studio, file);
    else studio.say("Drop an image file: PNG or JPEG.");
  });
}

export function request(studio) {
  const { model, sample } = studio;
  return { model, image: sample === null ? studio.image : null, sample, code: null, corruption: null, seed: 0 };
}

export function name({ sample, label }) {
  if (sample === null) return "your own image";
  return `test sample ${sample}${label === null ? "" : `, a ${label}`}`;
}

export function verdict({ score, p_value: p, odd }) {
  if (score === null) return { title: "No score", words: "This model has no normal samples to compare with." };
  return { title: odd ? "Odd" : "Usual", words: `Score ${number(score)}. ${rarity(p)}` };
}

function rarity(p) {
  if (p === null) return "";
  if (p < 0.001) return "Fewer than 1 in 1000 normal images look this odd.";
  const [share, of] = p < 0.01 ? [Math.round(1000 * p), 1000] : [Math.round(100 * p), 100];
  return `${share} in ${of} normal images look this odd or odder (p = ${number(p, 2)}).`;
}

export function sentenceCase(text) {
  return text[0].toUpperCase() + text.slice(1);
}
