import { latest, post } from "./api.js";
import { pad } from "./pad.js";
import { name, request, stepper, verdict } from "./present.js";
import { bars, codePicture, el, heat, heatLegend, number, picture } from "./widgets.js";

export function mount(section, studio) {
  const steps = stepper(studio);
  const drawing = pad({ label: "Drawing pad", caption: "Input", onstroke: (image) => studio.setImage(image) });
  const output = picture("Reconstruction", "output");
  const error = picture("Error", "error");
  const code = bars("Code");
  const small = codePicture("As a picture");
  const title = el("h2");
  const words = el("p");
  const facts = el("div", { class: "card words" }, title, words);
  const size = el("h2");
  section.append(steps.node, el("div", { class: "trio" },
    drawing.node, output.node,
    el("div", {}, error.node, heatLegend("none", "full")),
    el("div", { class: "card code-card" },
      el("div", { class: "headline" }, size, el("small", {}, "pale: where 98 in 100 training images lie")),
      el("div", { class: "code-row" }, code.node, small.node)), facts));

  const refresh = latest(async () => {
    const { shape, code_range: range } = studio.info;
    const view = await post("view", request(studio));
    output.set(view.output, `Reconstruction, ${shape[2]} by ${shape[1]} pixels, ${number(view.psnr)} decibels from the input: ${name(studio)}`,
      { value: `PSNR ${number(view.psnr)} dB` });
    error.set(view.error, `Error map: brighter where the reconstruction is wrong, mean squared error ${number(view.mse)}`,
      { colours: heat, value: `MSE ${number(view.mse, 2)}` });
    size.textContent = `Code: ${shape[0] * shape[1] * shape[2]} pixels in ${view.code.length} numbers`;
    code.set(view.code, range);
    small.set(view.code, range);
    const { title: short, words: sentence } = verdict(view, studio.info);
    title.textContent = short;
    words.textContent = sentence;
  }, (problem) => studio.say(problem.message));

  function present(stroke) {
    if (studio.view !== "draw" || !studio.image) return;
    if (studio.image !== stroke) drawing.set(studio.image);
    steps.update();
    drawing.note(studio.sample === null ? "yours" : studio.label === null ? "" : `a ${studio.label}`);
    refresh();
  }
  studio.on("image", () => present(drawing.last));
  return { show: () => present(null) };
}
