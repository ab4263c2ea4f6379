// Clean, corrupted, denoised: corrupted by a kind and its strength, by hand, or by both.

import { get, latest, post, psnr } from "./api.js";
import { pad } from "./pad.js";
import { name, request, stepper } from "./present.js";
import { button, el, field, number, picture, slider } from "./widgets.js";

const BY_HAND = "by-hand";

export function mount(section, studio) {
  const steps = stepper(studio);
  const clean = picture("Clean", "clean");
  const damaged = pad({ label: "Corrupted image", caption: "Corrupted", onstroke: () => refresh() });
  const output = picture("Denoised", "output");
  const kind = el("select", { id: "kind" });
  const strengths = el("div", { class: "stack strengths" });
  const again = button("", () => redraw(seed + 1), "again");
  const fail = (error) => studio.say(error.message);
  let model = null;
  let chosen = null; // a promise: the kinds are there, the model's own is chosen
  let kinds = null;
  let inputs = [];
  let seed = 0;
  let byHand = false;

  section.append(steps.node,
    el("div", { class: "trio" }, clean.node, damaged.node, output.node,
      el("div", { class: "card damage" },
        el("div", { class: "tools" }, el("label", { for: "kind" }, "Corruption"), kind, again), strengths,
        el("p", { class: "muted" }, "Draw or erase on the corrupted image to damage it further by hand."))));
  kind.onchange = () => {
    showStrengths();
    redraw(seed);
  };

  const refresh = latest(async () => {
    byHand = damaged.last !== null;
    const given = byHand ? { ...request(studio), image: damaged.last, sample: null }
      : { ...request(studio), corruption: corruption(), seed };
    const original = studio.image;
    const view = await post("view", given);
    if (original !== studio.image) return;
    if (!byHand && damaged.last === null) damaged.set(view.seen);
    const seen = byHand ? given.image : view.seen;
    const before = decibels(seen, original);
    const after = decibels(view.output, original);
    clean.set(original, `Clean image: ${name(studio)}`);
    damaged.note(`PSNR ${before}`);
    output.set(view.output, `Denoised image, ${after} from the clean one, where the corrupted one has ${before}`, { value: `PSNR ${after}` });
  }, fail);

  function corruption() {
    if (kind.value === BY_HAND) return null;
    return Object.fromEntries([["kind", kind.value], ...inputs.map((input) => [input.name, input.value()])]);
  }

  function redraw(next) {
    seed = next;
    damaged.last = null;
    refresh();
  }

  function showStrengths(values = {}) {
    const corrupting = kinds.find((one) => one.kind === kind.value);
    inputs = (corrupting?.parameters ?? []).map((declared) => strength(declared, values[declared.name], () => redraw(seed)));
    strengths.replaceChildren(...inputs.map((input) => input.node));
    again.textContent = corrupting ? "Another draw" : "Start again";
  }

  async function choose() {
    kinds ??= (await get("corruptions")).corruptions;
    kind.replaceChildren(...kinds.map((one) => new Option(one.title, one.kind)), new Option("By hand only", BY_HAND));
    const own = studio.info.corruption;
    kind.value = own?.kind ?? "gaussian";
    showStrengths(own ?? {});
  }

  async function update() {
    if (studio.view !== "noise" || !studio.image) return;
    if (model !== studio.model) {
      model = studio.model;
      chosen = choose().catch(fail);
    }
    await chosen;
    steps.update();
    redraw(seed);
  }
  studio.on("image", update);
  return { show: update };
}

function decibels(image, original) {
  return `${number(psnr(image, original))} dB`;
}

function asJson(type, text) {
  if (text === "none") return null;
  if (type === "boolean") return text === "true";
  return type === "list" ? text.split(",").map(Number) : text;
}

/** The control of a Field of a corruption, a slider where it is a number; its value as JSON takes it. */
function strength(declared, value, onchange) {
  const { type, help } = declared;
  const label = declared.name.replaceAll("_", " ");
  if (type !== "number" && type !== "integer") {
    const control = field({ ...declared, value: String(value ?? declared.value) }, onchange);
    return { name: declared.name, node: control.node, value: () => asJson(type, control.value()) };
  }
  const present = Number(value ?? declared.value);
  const low = declared.minimum ?? declared.exclusive_minimum ?? 0;
  const high = declared.maximum ?? declared.exclusive_maximum ?? (type === "integer" ? 10 * present : 3 * present);
  const step = type === "integer" ? 1 : Number(((high - low) / 100).toPrecision(1));
  const min = declared.exclusive_minimum === null ? low : low + step;
  const control = slider({ label, help, min, max: high, step, value: present, onchange });
  return { name: declared.name, node: el("div", {}, control.node, el("small", {}, help)), value: () => control.value };
}
