// get(path, query) -> JSON; text(path, query) -> string; post(path, body) -> JSON; send(path, query, file, type, signal?) -> Response. All throw Error(one sentence).
// While a call takes long, the page says that it works.
// latest(work, failed) -> ask(...args): one call of `work` in flight, the newest arguments next.
// bytes(picture) -> Uint8Array; makePicture(shape, bytes) -> Picture; blank(shape) -> Picture.
// toImageData(picture, colours?) -> ImageData; fromImageData(imageData, channels) -> Picture.
// readFile(file, shape) -> Picture of `shape`; psnr(picture, other) -> decibels.

const TOKEN = "diabolo-token";

const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) {
  sessionStorage.setItem(TOKEN, fragment.get("token"));
  history.replaceState(null, "", location.pathname + location.search);
}

const WORKING = 400; // milliseconds of a call from which on the page says so
let calls = 0;
function works(more) {
  calls += more;
  document.getElementById("working").hidden = calls === 0;
}

async function call(path, options) {
  let late = 0;
  const timer = setTimeout(() => works((late = 1)), WORKING);
  try {
    return await answered(path, options);
  } finally {
    clearTimeout(timer);
    works(-late);
  }
}

async function answered(path, options) {
  const token = sessionStorage.getItem(TOKEN);
  if (token) options.headers = { ...options.headers, Authorization: `Bearer ${token}` };
  let answer;
  try {
    answer = await fetch(`/api/${path}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The studio's service does not answer. Is `diabolo studio` still running?");
  }
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({}));
  throw new Error(error ?? `The service answered ${answer.status}.`);
}

function withQuery(path, query) {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== null && value !== undefined)
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
}

export async function get(path, query = {}) {
  return (await call(withQuery(path, query), {})).json();
}

export async function text(path, query = {}) {
  return (await call(withQuery(path, query), {})).text();
}

export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  return (await call(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export function send(path, query, file, type, signal) {
  return call(withQuery(path, query), { method: "POST", headers: { "Content-Type": type }, body: file, signal });
}

export function latest(work, failed) {
  let busy = false;
  let next = null;
  return async (...args) => {
    next = args;
    if (busy) return;
    busy = true;
    while (next) {
      const current = next;
      next = null;
      await Promise.resolve(work(...current)).catch(failed);
    }
    busy = false;
  };
}

export function bytes(picture) {
  const text = atob(picture.pixels);
  const values = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) values[i] = text.charCodeAt(i);
  return values;
}

export function makePicture(shape, values) {
  let text = "";
  for (let i = 0; i < values.length; i += 8192) {
    text += String.fromCharCode(...values.subarray(i, i + 8192));
  }
  return { shape, pixels: btoa(text) };
}

export function blank(shape) {
  return makePicture(shape, new Uint8Array(shape[0] * shape[1] * shape[2]));
}

/** `colours`: 256 entries [r, g, b], for the values of a grey picture. */
export function toImageData(picture, colours) {
  const [channels, height, width] = picture.shape;
  const values = bytes(picture);
  const size = height * width;
  const data = new Uint8ClampedArray(4 * size).fill(255);
  for (let c = 0; c < 3; c++) {
    const start = (c % channels) * size;
    for (let i = 0; i < size; i++) data[4 * i + c] = colours ? colours[values[i]][c] : values[start + i];
  }
  return new ImageData(data, width, height);
}

export function fromImageData({ data, width, height }, channels) {
  const size = width * height;
  const values = new Uint8Array(channels * size);
  for (let i = 0, j = 0; i < size; i++, j += 4) {
    if (channels === 1) values[i] = Math.round(0.299 * data[j] + 0.587 * data[j + 1] + 0.114 * data[j + 2]);
    else for (let c = 0; c < 3; c++) values[c * size + i] = data[j + c];
  }
  return makePicture([channels, height, width], values);
}

/** Centred, its aspect kept. */
export async function readFile(file, [channels, height, width]) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error("That is not an image the browser can read: give a PNG or JPEG file.");
  }
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const scale = Math.min(width / bitmap.width, height / bitmap.height);
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h);
  return fromImageData(context.getImageData(0, 0, width, height), channels);
}

export function psnr(picture, other) {
  const [a, b] = [bytes(picture), bytes(other)];
  const squares = a.reduce((sum, value, i) => sum + ((value - b[i]) / 255) ** 2, 0);
  return squares ? -10 * Math.log10(squares / a.length) : Infinity;
}
