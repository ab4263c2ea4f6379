// Starts the page: views by location.hash, the model in use, the present image, the theme, the status line.
// A view is NAME.js with `export function mount(section, studio)`, called once when first shown; what it returns may have show() and hide().
// studio.view: the view on screen, null while its notice (no model) stands there instead; the heading is main.js's.
// studio.image: the sample that is looked at, a picture or the cells of a row; studio.file: {name, total, items} whose rows are walked.

import { blank, get, post } from "./api.js";
import { acceptFiles, openFile } from "./present.js";
import { button, el } from "./widgets.js";

const images = (info) => info.shape;
const rows = (info) => info.columns;
const both = (info) => images(info) || rows(info);
const narrow = (info) => rows(info) || (images(info) && info.code_size < info.shape.reduce((a, b) => a * b)); // one has a code to look at
const VIEWS = { // heading, what it says, and the models it is for: the first view for a model is the one it begins with
  photo: ["Photo", "A whole photograph goes in, and comes out cleaned.", (info) => info.photographs],
  row: ["Row", "A row is squeezed through a few numbers, and comes out again: cell by cell.", rows],
  draw: ["Draw", "What you draw is squeezed through a few numbers, and comes out again.", images],
  noise: ["Noise", "Damage an image, and see what the network makes of it.", images],
  latent: ["Latent", "Turn each number of the code by hand, or walk the map of the test set.", narrow],
  generate: ["Generate", "New samples, decoded from codes that none was given for.", narrow],
  anomaly: ["Anomaly", "How usual is this, for a network that knows only its training data?", both],
  train: ["Train", "Choose a recipe, change what you like, and watch it learn."],
  models: ["Models", "The runs below the working directory, side by side."],
};
const WITHOUT_MODEL = ["train", "models"];
const byId = (id) => document.getElementById(id);
const listeners = { model: [], image: [] };
const mounted = {};
let shown = null;

const studio = {
  model: null,
  info: null,
  image: null,
  sample: null,
  label: null,
  file: null,
  view: null,
  setImage(image, sample = null, label = null) {
    Object.assign(studio, { image, sample, label });
    emit("image");
  },
  /** To the view that is on screen, where it takes files itself, or else as the present sample. */
  openFile(file) {
    const { open: own } = mounted[studio.view] ?? {};
    if (file && own) own(file);
    else if (file) openFile(studio, file);
  },
  on(event, callback) {
    listeners[event].push(callback);
  },
  show(view) {
    location.hash = view;
  },
  say,
  open,
};

function emit(event) {
  for (const callback of listeners[event]) callback();
}

let silence;
function say(sentence, kind = "error") {
  const status = byId("status");
  status.textContent = sentence;
  status.className = kind;
  clearTimeout(silence);
  silence = setTimeout(() => say(""), kind === "error" ? 12000 : 5000);
  if (!sentence) clearTimeout(silence);
}

let opening;
let trouble = ""; // why there is no model, where it is not that none was trained
/** Use the model at `path`; the default one without a path. */
async function open(path) {
  const mine = (opening = Symbol());
  try {
    const { default: first, models } = await get("models");
    trouble = "";
    const chosen = path ?? first;
    const info = chosen && (await get("model", { model: chosen }));
    const image = info && (await fitting(info));
    if (mine !== opening) return;
    if (info) Object.assign(studio, { info, model: info.path, ...image });
    const paths = new Set([...models.map((model) => model.path), studio.model].filter(Boolean)); // the model may lie elsewhere
    const options = [...paths].map((path) => new Option(path, path));
    byId("model").replaceChildren(...(options.length ? options : [new Option("none yet", "")]));
    byId("model").disabled = !options.length;
    const query = studio.model === first ? "" : `?${new URLSearchParams({ model: studio.model })}`;
    history.replaceState(null, "", location.pathname + query + location.hash);
  } catch (error) {
    trouble = error.message;
    say(trouble);
    if (path && !studio.info) return open();
  }
  byId("model").value = studio.model ?? "";
  byId("summary").textContent = studio.info ? summary(studio.info) : "";
  await route();
  emit("model");
  if (studio.image) emit("image");
}

/** The image to present to a model: one's own where it has the model's shape, else a test sample. */
async function fitting({ path, shape, columns, samples, code_mean: code }) {
  if (!shape && !columns) return {};
  const names = (some) => some?.map(({ name }) => name).join("\n");
  const same = studio.image && (shape ? String(studio.image.shape) === String(shape) : names(studio.info.columns) === names(columns));
  if (same && (studio.sample === null || studio.file)) return {};
  const file = null;
  if (!samples?.test) return { image: same ? studio.image : shape ? blank(shape) : await middle(path, code), sample: null, label: null, file };
  const start = Math.min(studio.sample ?? 0, samples.test - 1);
  const { picture, index, label } = (await get("samples", { model: path, part: "test", start, count: 1 })).items[0];
  return { image: picture, sample: index, label, file };
}

/** The row that a model makes of its mean code. */
async function middle(model, code) {
  return (await post("decode-pictures", { model, codes: [code] })).pictures[0];
}

function summary(info) {
  const { kind, shape, columns, code_size: size, parameters } = info;
  const numbers = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
  const input = shape ? `${shape[2]} × ${shape[1]}${shape[0] === 3 ? " colour" : ""} pixels` : columns ? `rows of ${numbers(columns.length, "column")}` : "images of other channels";
  const through = shape && !narrow(info) ? "of no narrow code" : `through ${numbers(size, "number")}`;
  return `${kind}: ${input} ${through}, ${numbers(parameters, "weight")}`;
}

async function route() {
  const name = wanted(location.hash.slice(1));
  const [title, lede] = VIEWS[name];
  document.title = `${title}: diabolo studio`;
  byId("title").textContent = title;
  byId("lede").textContent = lede;
  for (const link of document.querySelectorAll("nav a")) {
    link.removeAttribute("aria-current");
    link.hidden = !suits(link.hash.slice(1));
  }
  document.querySelector(`nav a[href="#${name}"]`).setAttribute("aria-current", "page");
  const notice = WITHOUT_MODEL.includes(name) ? null : missing();
  byId("notice").replaceChildren(...(notice ?? []));
  byId("notice").hidden = !notice;
  if (shown && shown !== name) mounted[shown]?.hide?.();
  const fresh = shown !== name || !studio.view;
  shown = name;
  studio.view = notice ? null : name;
  for (const section of document.querySelectorAll("[data-view]")) {
    section.hidden = section.dataset.view !== studio.view;
  }
  if (!studio.view) return;
  try {
    if (!mounted[name]) {
      const { mount } = await import(`./${name}.js`);
      mounted[name] ??= mount(document.querySelector(`[data-view=${name}]`), studio) ?? {};
    }
    if (fresh && studio.view === name) mounted[name].show?.();
  } catch (error) {
    say(`This view could not be opened: ${error.message}`);
  }
}

function suits(name) {
  const [, , takes] = VIEWS[name];
  return !takes || Boolean(studio.info ? takes(studio.info) : images === takes || both === takes);
}

/** The view of that name, or the first that suits the model. */
function wanted(name) {
  if (VIEWS[name] && suits(name)) return name;
  const first = Object.keys(VIEWS).find((one) => suits(one) && !WITHOUT_MODEL.includes(one)) ?? "draw";
  if (name && studio.info) history.replaceState(null, "", `${location.pathname}${location.search}#${first}`);
  return first;
}

function missing() {
  if (!studio.info && trouble) return [el("p", {}, trouble), button("Try again", () => open())];
  if (!studio.info) {
    return [
      el("h2", {}, "No model yet"),
      el("p", {}, "The studio shows what a trained network does. Train one first: the recipe ae-32-fast trains in seconds."),
      button("Train a model", () => studio.show("train"), "primary"),
    ];
  }
  if (!both(studio.info)) {
    return [el("p", {}, `${studio.info.name} encodes images of other channels than one or three, which cannot be shown.`)];
  }
  return null;
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  byId("theme").value = theme;
  localStorage.setItem("diabolo-theme", theme);
}

setTheme(localStorage.getItem("diabolo-theme") ?? "");
byId("theme").onchange = () => setTheme(byId("theme").value);
byId("model").onchange = () => open(byId("model").value);
document.querySelector(".skip").onclick = (event) => {
  event.preventDefault();
  byId("content").focus();
};
acceptFiles(studio, byId("content"));
addEventListener("hashchange", () => {
  say("");
  route();
});
open(new URLSearchParams(location.search).get("model") ?? undefined);
