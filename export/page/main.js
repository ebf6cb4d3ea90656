// Runs the model on a drawing, an image file or a test image, and shows its answer.

import { fetched, load } from "./model.js";
import { Pad } from "./pad.js";
import { centered, inverted, resized, toRgba } from "./pixels.js";

const BARS = 10;
const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;

let page; // page.json
let examples; // Uint8Array of each test image
let model = null;
let pad = null;
let asked = null; // the last question: pixels, and the test image's number or null
let picture = null; // pixels of the image file that is shown, before they are inverted
let shown = 0; // counts the questions, so that a late answer is not shown
let choices = 0; // counts the choices, so that a late model file is not used
let groups = { right: [], wrong: [] };
let place = 0; // in the chosen group

function say(message) {
  element("message").textContent = message;
  element("message").hidden = false;
}

async function start() {
  page = await (await fetched("page.json")).json();
  const [height, width, channels] = page.input_shape;
  const bytes = new Uint8Array(await (await fetched(page.examples.path)).arrayBuffer());
  const size = height * width * channels;
  if (bytes.length !== size * page.examples.labels.length) {
    throw new Error(`${page.examples.path} is damaged. Copy the folder again.`);
  }
  examples = page.examples.labels.map((_, i) => bytes.subarray(i * size, (i + 1) * size));
  describe();
  asked = { pixels: examples[0], example: 0 };
  await choose(page.files[0]);
  listen();
}

function describe() {
  const [height, width] = page.input_shape;
  element("title").textContent = page.draw
    ? "A model that reads your handwriting"
    : "A model that recognizes images";
  document.title = element("title").textContent;
  element("about").textContent =
    `${page.model}, trained on ${page.dataset}: ${page.classes.length} classes.`;
  for (const id of ["drawing", "clear"]) element(id).hidden = !page.draw;
  element("inverting").hidden = page.input_shape[2] !== 1;
  element("give").classList.toggle("files", !page.draw);
  element("drop-text").textContent = page.draw
    ? "Choose an image"
    : "Choose an image, or drop one here";
  element("how").hidden = !page.draw;
  element("prepared").textContent = prepared();
  Object.assign(element("seen"), { width, height });
  const rows = Array.from({ length: Math.min(BARS, page.classes.length) }, () => {
    const row = document.createElement("li");
    const part = (name) => {
      const span = document.createElement("span");
      span.className = name;
      row.append(span);
      return span;
    };
    part("name");
    part("track").append(Object.assign(document.createElement("span"), { className: "fill" }));
    part("share");
    return row;
  });
  element("bars").append(...rows);
  for (const file of page.files) {
    const text = `${file.name}: ${size(file.bytes)}, ${(100 * file.accuracy).toFixed(2)}%`;
    element("model-file").append(new Option(text, file.name));
  }
}

function size(bytes) {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
}

// Describes what happens to an image before the model sees it.
function prepared() {
  const [height, width, channels] = page.input_shape;
  const drawn = page.draw
    ? "A drawing is scaled until its ink fits 20x20 pixels, and its center of mass is moved to the middle of 28x28, as in MNIST. "
    : "";
  const gray = channels === 1 ? ", made gray" : "";
  const target = `${width}x${height} pixels`;
  const fitted = {
    stretch: `stretched to ${target}`,
    crop: `cropped in the middle and scaled to ${target}`,
    pad: `scaled to fit ${target}, with black at the sides`,
  }[page.resize];
  return `${drawn}An image file is turned upright${gray} and ${fitted}, as in training. The model takes the values, 0 to 255, as they are.`;
}

async function choose(file) {
  const mine = ++choices;
  shown += 1;
  let next;
  try {
    next = await load(file, [1, ...page.input_shape]);
  } catch (error) {
    if (mine === choices) throw error;
    return;
  }
  if (mine !== choices) return next.delete();
  model?.delete();
  model = next;
  if (asked) await look(asked.pixels, { example: asked.example });
  if (model !== next) return;
  element("message").hidden = true;
  element("main").hidden = false;
  document.body.dataset.file = file.name;
  await sort();
}

// Runs the chosen file over the test images; counts the right answers and the time.
async function sort() {
  const current = model;
  const found = { right: [], wrong: [] };
  let spent = 0;
  let began = performance.now();
  for (const [i, pixels] of examples.entries()) {
    const probabilities = await current.read(pixels);
    const right = best(probabilities) === page.examples.labels[i];
    found[right ? "right" : "wrong"].push(i);
    if (i % 20 === 19 || i === examples.length - 1) {
      // Times twenty images together, because the clock of a browser is coarse.
      spent += performance.now() - began;
      await new Promise((resolve) => setTimeout(resolve));
      began = performance.now();
    }
    if (current !== model) return;
  }
  groups = found;
  for (const name of ["right", "wrong"]) {
    element(`count-${name}`).textContent = `(${found[name].length})`;
  }
  element("time").textContent =
    `${milliseconds(spent / examples.length)} per image on this device: mean of ${examples.length} test images.`;
  place = 0;
  for (const name of ["right", "wrong"]) {
    const at = groups[name].indexOf(asked?.example);
    if (at < 0) continue;
    document.querySelector(`input[value=${name}]`).checked = true;
    place = at;
  }
  tell();
}

function milliseconds(value) {
  if (value < 0.001) return "Less than 0.001 ms";
  return `${value < 1 ? value.toPrecision(1) : value.toFixed(1)} ms`;
}

function best(probabilities) {
  return probabilities.indexOf(Math.max(...probabilities));
}

// `aloud`: whether a screen reader speaks the answer, which happens after each stroke.
async function look(pixels, { example = null, aloud = true } = {}) {
  const mine = ++shown;
  asked = { pixels, example };
  const label = example === null ? null : page.examples.labels[example];
  const [height, width, channels] = page.input_shape;
  const probabilities = await model.read(pixels);
  if (mine !== shown) return;
  element("seen").getContext("2d").putImageData(
    new ImageData(toRgba(pixels, channels), width, height), 0, 0);
  const winner = best(probabilities);
  const sure = `${page.classes[winner]}, ${percent(probabilities[winner])}`;
  element("best").textContent = page.classes[winner];
  const verdict = element("verdict");
  verdict.textContent = `${percent(probabilities[winner])} confidence`;
  verdict.className = "";
  if (label !== null) {
    const right = winner === label;
    verdict.textContent += right ? ". Right." : `. Wrong: it is ${page.classes[label]}.`;
    verdict.className = right ? "" : "wrong";
  }
  element("seen-caption").textContent = label === null
    ? `The model sees ${width}x${height} pixels`
    : `Test image: ${page.classes[label]}`;
  bars(probabilities, winner);
  element("answer").dataset.example = example ?? "";
  if (aloud) element("spoken").textContent = `${sure} confidence. ${label === null ? "" : verdict.textContent}`;
}

function bars(probabilities, winner) {
  let order = Array.from(probabilities.keys());
  // Few classes keep their places during drawing; of many, the likeliest are shown.
  if (order.length > BARS) {
    order = order.sort((a, b) => probabilities[b] - probabilities[a]).slice(0, BARS);
  }
  Array.from(element("bars").children).forEach((row, i) => {
    const share = probabilities[order[i]];
    row.classList.toggle("best", order[i] === winner);
    row.querySelector(".name").textContent = page.classes[order[i]];
    row.querySelector(".fill").style.width = percent(Math.max(share, 0));
    row.querySelector(".share").textContent = percent(share);
    row.dataset.share = share;
  });
}

function nothing() {
  shown += 1;
  asked = null;
  picture = null;
  element("best").textContent = "–";
  element("verdict").textContent = "";
  element("seen-caption").textContent = "Nothing is drawn";
  const { width, height } = element("seen");
  element("seen").getContext("2d").clearRect(0, 0, width, height);
  bars(new Float32Array(page.classes.length), -1);
  element("spoken").textContent = "Cleared.";
}

function drawn(done) {
  const pixels = centered(pad.ink, pad.canvas.width, pad.canvas.height);
  element("invitation").hidden = pixels !== null;
  if (pixels === null) return nothing();
  picture = null;
  tried(look(pixels, { aloud: done }));
}

function wipe() {
  pad?.clear();
  element("invitation").hidden = false;
}

async function dropped(chosen) {
  if (!chosen) return;
  let image;
  try {
    // Turned upright, and without a color profile, because training ignores profiles.
    image = await createImageBitmap(chosen, { colorSpaceConversion: "none" });
  } catch {
    say(`${chosen.name} is not an image that this browser can read. Choose a PNG, JPEG or WebP file.`);
    return;
  }
  element("message").hidden = true;
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const read = (top, count) => {
    canvas.height = count; // this also clears it
    context.drawImage(image, 0, -top);
    return context.getImageData(0, 0, image.width, count).data;
  };
  const pixels = resized(read, image, page.input_shape, page.resize);
  image.close();
  wipe();
  picture = pixels;
  await lookAtPicture();
}

function lookAtPicture() {
  return look(element("invert").checked ? inverted(picture) : picture);
}

function chosenGroup() {
  return groups[document.querySelector("input[name=group]:checked").value];
}

function tell() {
  const group = chosenGroup();
  element("position").textContent = group.length ? `${place + 1} of ${group.length}` : "none";
  for (const id of ["previous", "next"]) element(id).disabled = group.length === 0;
}

function walk(by) {
  const group = chosenGroup();
  if (group.length === 0) return tell();
  place = (place + by + group.length) % group.length;
  tell();
  const i = group[place];
  wipe();
  picture = null;
  return look(examples[i], { example: i });
}

function listen() {
  if (page.draw) {
    pad = new Pad(element("pad"), drawn);
    element("clear").addEventListener("click", () => {
      wipe();
      nothing();
    });
  }
  element("previous").addEventListener("click", () => tried(walk(-1)));
  element("next").addEventListener("click", () => tried(walk(1)));
  for (const radio of document.querySelectorAll("input[name=group]")) {
    radio.addEventListener("change", () => {
      place = 0;
      tried(walk(0));
    });
  }
  element("model-file").addEventListener("change", (event) => {
    tried(choose(page.files[event.target.selectedIndex]).catch((error) => {
      event.target.value = document.body.dataset.file; // the previous file stays
      throw error;
    }));
  });
  element("file").addEventListener("change", (event) => {
    tried(dropped(event.target.files[0]));
    event.target.value = ""; // so that the same file can be chosen again
  });
  element("invert").addEventListener("change", () => {
    if (picture !== null) tried(lookAtPicture());
  });
  const drop = element("input");
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    tried(dropped(event.dataTransfer.files[0]));
  });
}

// Shows an error on the page.
async function tried(work) {
  try {
    await work;
  } catch (error) {
    say(`This does not work: ${error.message}`);
  }
}

tried(start());
