// A recipe, a form made from its declared parameters, and the training as it goes.

import { get, post } from "./api.js";
import { lineChart, pictureRows } from "./charts.js";
import { button, el, field, findingList, number } from "./widgets.js";

const FIRST = ["epochs", "latent_dim", "hidden", "corruption", "learning_rate", "batch_size", "seed"];
const DATA = ["data", "limit"]; // what is asked of the data at first
const QUICK = "ae-32-fast"; // chosen at first: it trains in seconds
const GOING = ["starting", "running", "stopping"];
const EVERY = 500; // milliseconds between two looks

export function mount(section, studio) {
  const watch = watcher(studio);
  const form = recipeForm(studio, () => watch.started());
  section.append(el("div", { class: "training" }, form, watch.node));
}

function recipeForm(studio, started) {
  const recipe = el("select", { id: "recipe", onchange: () => load() });
  const about = el("div", { class: "about" });
  const main = el("div", { class: "fields" });
  const rest = el("div", { class: "fields" });
  const data = el("div", { class: "fields" });
  const mistake = el("p", { class: "mistake", role: "alert", id: "mistake" });
  let [parameters, options] = [[], []];

  const form = el("form", { class: "card", "aria-label": "Training", noValidate: true },
    el("div", { class: "field" }, el("label", { for: "recipe" }, "Recipe"), recipe), about, main,
    el("details", {}, el("summary", {}, "More parameters"), rest),
    data, mistake,
    el("button", { type: "submit", class: "primary", id: "start" }, "Start training"));

  form.onsubmit = async (event) => {
    event.preventDefault();
    show("");
    const changed = (fields) => Object.assign({}, ...fields.map((one) => one.changed()));
    const given = Object.entries(changed(options)).map(([name, text]) => [name, text || null]);
    try {
      await post("train", { recipe: recipe.value, parameters: changed(parameters), ...Object.fromEntries(given) });
      started();
    } catch (error) {
      show(error.message);
    }
  };

  function show(sentence) {
    mistake.textContent = sentence;
    const [subject] = sentence.split(" ");
    for (const { name, node } of [...parameters, ...options].flatMap((one) => one.all())) {
      const control = node.querySelector("input, select");
      const wrong = [name, name.split(".").at(-1)].includes(subject);
      control.setAttribute("aria-invalid", wrong);
      if (!wrong) continue;
      if (rest.contains(node)) rest.parentNode.open = true;
      control.focus();
    }
  }

  async function load() {
    try {
      const { article, notes, kind, fields, data: declared } = await get(`recipes/${recipe.value}`);
      const words = [`${kind}.${article ? ` After article ${article}.` : ""}`, ...notes];
      about.replaceChildren(...words.map((sentence) => el("p", {}, el("small", {}, sentence))));
      parameters = fields.map(parameter);
      options = declared.map(parameter);
      main.replaceChildren(...first(parameters, FIRST));
      data.replaceChildren(...first(options, DATA));
      rest.replaceChildren(...others(parameters, FIRST), ...others(options, DATA));
      show("");
    } catch (error) {
      show(error.message);
    }
  }

  get("recipes").then(({ recipes }) => {
    recipe.replaceChildren(...recipes.map(({ name, title }) => new Option(`${name}: ${title}`, name)));
    if (recipes.some(({ name }) => name === QUICK)) recipe.value = QUICK;
    return load();
  }).catch((error) => show(error.message));
  return form;
}

/** The nodes of the fields that have these names, in their order; and those of the others. */
function first(fields, names) {
  return names.flatMap((name) => fields.filter((one) => one.name === name)).map((one) => one.node);
}

function others(fields, names) {
  return fields.filter((one) => !names.includes(one.name)).map((one) => one.node);
}

/** {name, node, changed() -> what differs from the recipe, by name, all() -> it and those within it}. */
function parameter(declared) {
  return declared.type === "part" ? part(declared) : plain(declared);
}

function plain(declared) {
  const control = field(declared);
  const before = control.value();
  control.node.title = declared.words;
  return {
    name: declared.name,
    node: control.node,
    control,
    all: () => [control],
    changed: () => (control.value() === before ? {} : { [declared.name]: control.value().trim() || (declared.optional ? "none" : "") }),
  };
}

/** A choice of kinds, each with parameters of its own. */
function part(declared) {
  const choice = plain({ ...declared, type: "choice", value: declared.value || "none" });
  const own = el("div", { class: "fields" });
  let inner = [];
  const show = () => {
    inner = (declared.parts[choice.control.value()] ?? []).map(parameter);
    own.replaceChildren(...inner.map((one) => one.node));
  };
  choice.node.querySelector("select").addEventListener("change", show);
  show();
  return {
    name: declared.name,
    node: el("div", { class: "part" }, choice.node, own),
    all: () => [choice.control, ...inner.flatMap((one) => one.all())],
    changed: () => Object.assign(choice.changed(), ...inner.map((one) => one.changed())),
  };
}

function watcher(studio) {
  const title = el("h2", { id: "run" });
  const progress = el("progress", { max: 1, value: 0, "aria-label": "Progress of the training" });
  const times = el("p", { id: "times" });
  const message = el("p", { class: "muted", id: "message" });
  const stop = button("Stop", () => post("train/stop").then(show, fail), "stop");
  const use = button("Use it", () => studio.open(run), "primary use");
  const compare = button("Compare in Models", () => studio.show("models"));
  const chart = lineChart({ label: "Loss by epoch", x: "epoch", y: "loss" });
  const pictures = el("div", { class: "ten" });
  const findings = el("div", { id: "found" });
  const node = el("div", { class: "card live", hidden: true }, title, progress, times, message,
    findings,
    el("div", { class: "tools" }, stop, use, compare), chart.node, pictures);
  let run = null;
  let watched = false;
  let drawn = null;
  let timer = null;

  function fail(error) {
    studio.say(error.message);
  }

  async function look() {
    clearTimeout(timer);
    try {
      show(await get("train"));
    } catch (error) {
      fail(error);
      if (watched) timer = setTimeout(look, 4 * EVERY);
    }
  }

  function show(state) {
    const going = GOING.includes(state.state);
    run = state.run;
    node.hidden = state.state === "idle";
    stop.hidden = !going;
    stop.disabled = state.state === "stopping";
    use.hidden = compare.hidden = going || !run || state.state === "failed";
    title.textContent = `${HEADS[state.state] ?? ""} ${run ?? ""}`;
    progress.value = state.epochs ? state.epoch / state.epochs : 0;
    times.textContent = inWords(state, going);
    message.textContent = state.message;
    message.className = state.state === "failed" ? "mistake" : "muted";
    findings.replaceChildren(...(state.findings.length ? [findingList(state.findings)] : []));
    draw(state);
    if (watched && !going) end(state);
    watched = going;
    clearTimeout(timer);
    if (going) timer = setTimeout(look, EVERY);
  }

  function draw({ run: name, epoch, epochs, history: { epoch: x = [], loss = [], val_loss: validation = [] }, pictures: ten }) {
    const now = `${name} ${epoch} ${Boolean(ten)}`;
    if (drawn === now) return;
    drawn = now;
    chart.node.hidden = !loss.length;
    chart.set([{ name: "training", x, y: loss, colour: 0 }, { name: "validation", x, y: validation, colour: 6, dashed: true }], epochs);
    const rows = ten ? [["Input", ten.input], ["Seen", ten.seen], ["Output", ten.output]] : [];
    pictures.replaceChildren(pictureRows(rows.filter(([, row]) => row).map(([name, row]) => ({ name, pictures: row }))));
  }

  function end({ state }) {
    if (state === "done") studio.open(run);
    studio.say(ENDS[state] ?? "", state === "failed" ? "error" : "status");
  }

  look();
  return {
    node,
    started() {
      watched = true;
      look().then(() => node.scrollIntoView({ block: "nearest" }));
    },
  };
}

const HEADS = { starting: "Starting", running: "Training", stopping: "Stopping", done: "Trained:", stopped: "Stopped:", failed: "Failed:" };
const ENDS = { done: "The training is done, and its model is in use.", stopped: "The training is stopped.", failed: "The training failed." };

function inWords({ epoch, epochs, seconds, history }, going) {
  const trained = (history.seconds ?? []).reduce((sum, value) => sum + value, 0);
  const left = going && epoch ? `, about ${duration((trained / epoch) * (epochs - epoch))} left` : "";
  return `Epoch ${epoch} of ${epochs}, ${duration(seconds)}${going ? " so far" : ""}${left}`;
}

function duration(seconds) {
  if (seconds < 60) return `${number(seconds, 2)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
