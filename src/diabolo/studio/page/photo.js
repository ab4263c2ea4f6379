// A photograph of any size, cleaned by a denoiser: before and after, and the result as a file.

import { get, send } from "./api.js";
import { save } from "./cells.js";
import { button, el, number } from "./widgets.js";

const EVERY = 700; // milliseconds between two looks at how far it is

export function mount(section, studio) {
  const file = el("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Photograph" });
  const before = el("img", { alt: "Before", draggable: false });
  const after = el("img", { alt: "After", draggable: false });
  const at = el("input", { type: "range", min: 0, max: 100, value: 50, step: 0.5, "aria-label": "Where before ends and after begins" });
  const frame = el("div", { class: "compare-frame" }, before, after, el("span", { class: "edge", "aria-hidden": "true" }));
  const full = el("input", { type: "checkbox", onchange: () => compare.classList.toggle("full", full.checked) });
  const compare = el("div", { class: "compare", hidden: true },
    el("div", { class: "compare-words" }, el("span", {}, "Before"), at, el("span", {}, "After"), el("label", { class: "check" }, full, "Full size")),
    el("div", { class: "compare-scroll", role: "region", "aria-label": "Before and after", tabIndex: 0 }, frame));
  const progress = el("progress", { max: 1, "aria-label": "Progress" });
  const words = el("p", { "aria-live": "polite", class: "muted" });
  const stop = button("Stop", () => running?.abort(), "stop");
  const again = button("Clean again", () => clean(given), "again");
  const keep = button("Download", () => save(`${stem}-clean.png`, cleaned), "primary download");
  const level = el("input", { type: "number", min: 0, max: 255, step: "any", placeholder: "estimated", title: "Standard deviation of the noise, of 255; empty: estimated" });
  const noise = el("label", { class: "check" }, "Noise", level);
  let running = null;
  let given = null;
  let cleaned = null;
  let stem = "";

  const open = button("Open photograph…", () => file.click(), "open");
  section.append(el("div", { class: "stepper" }, open, file, noise, keep, stop, again, progress), words, compare);
  frame.onpointerdown = frame.onpointermove = ({ buttons, clientX }) => {
    const { left, width } = frame.getBoundingClientRect();
    if (!buttons) return;
    at.value = (100 * (clientX - left)) / width;
    at.oninput();
  };
  at.oninput = () => compare.style.setProperty("--at", `${at.value}%`);
  file.onchange = () => {
    studio.openFile(file.files[0]);
    file.value = "";
  };

  level.onchange = () => {
    if (level.reportValidity() && given) clean(given);
  };

  function show(sentence, { going = false, done = false } = {}) {
    words.textContent = sentence;
    progress.hidden = stop.hidden = !going;
    keep.hidden = compare.hidden = !done;
    again.hidden = true;
    open.classList.toggle("primary", !done && !going);
  }

  async function clean(photograph) {
    running?.abort();
    given = photograph;
    const mine = (running = new AbortController());
    const job = crypto.getRandomValues(new Uint32Array(2)).join("-");
    const begun = performance.now();
    progress.removeAttribute("value");
    show(`Cleaning ${photograph.name}…`, { going: true });
    const timer = setInterval(async () => {
      const { done } = await get("progress", { job }).catch(() => ({}));
      if (mine === running && done) progress.value = done;
    }, EVERY);
    try {
      const answer = await send("denoise", { model: studio.model, job, level: level.value || null }, photograph, "image/png", mine.signal); // of whatever kind: it is looked at
      const blob = await answer.blob();
      const seconds = (performance.now() - begun) / 1000;
      if (mine === running) await present(photograph, blob, seconds, answer.headers.get("x-noise"));
    } catch (error) {
      if (mine !== running) return;
      show(mine.signal.aborted ? "Stopped." : error.message.replace("The body", photograph.name));
      again.hidden = !mine.signal.aborted;
    } finally {
      clearInterval(timer);
    }
  }

  async function present(photograph, blob, seconds, found) {
    cleaned = blob;
    stem = photograph.name.replace(/\.[^.]*$/, "");
    for (const [image, content] of [[before, photograph], [after, blob]]) {
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(content);
    }
    before.hidden = await before.decode().then(() => false, () => true); // a format that the service reads and the browser does not
    await after.decode();
    show(`${photograph.name}: ${after.naturalWidth} × ${after.naturalHeight} pixels, cleaned in ${number(seconds, 2)} s${found ? `; ${found}` : ""}.`, { done: true });
  }

  studio.on("model", () => {
    running?.abort();
    running = given = null;
    level.value = "";
    noise.hidden = !studio.info?.told_level;
    show("Open, drop or paste a photograph: PNG or JPEG, of any size.");
  });
  show("Open, drop or paste a photograph: PNG or JPEG, of any size.");
  return { open: clean };
}
