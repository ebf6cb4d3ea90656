// The page: what is drawn, dropped or chosen goes to the model; its answer is shown.

import { fetched, load } from "./model.js";
import { Pad } from "./pad.js";
import { centered, fromRgba, toRgba } from "./pixels.js";

const BARS = 10;
const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;

let page; // page.json
let examples; // Uint8Array of each test image
let model = null;
let pad = null;
let asked = null; // what was asked last: pixels, and the test image's number or null
let shown = 0; // counts what was asked, so that a late answer is not shown
let choices = 0; // counts what was chosen, so that a late file is not used
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
    : `${page.model}, trained on ${page.dataset}`;
  document.title = element("title").textContent;
  element("about").textContent =
    `${page.model}, trained on ${page.dataset}: ${page.classes.length} classes.`;
  element("drawing").hidden = !page.draw;
  element("drop-text").textContent = page.draw
    ? "Or choose a photo: white on black, or drop one here"
    : "Choose an image, or drop one here";
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
    const text = `${file.name}: ${(100 * file.accuracy).toFixed(2)}% right, ${(file.bytes / 1e6).toFixed(2)} MB`;
    element("model-file").append(new Option(text, file.name));
  }
}

// What happens to an image before the model sees it.
function prepared() {
  const [height, width, channels] = page.input_shape;
  const drawn = page.draw
    ? "A drawing is scaled until its ink fits 20x20 pixels, and put with its center of mass in the middle of 28x28, as MNIST's digits were. "
    : "";
  const gray = channels === 1 ? "made gray and " : "";
  return `${drawn}A chosen image is ${gray}resized to ${width}x${height} pixels, whatever its shape. The model takes the values, 0 to 255, as they are.`;
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

// Runs the chosen file over the test images: which it gets right, and how long it takes.
async function sort() {
  const current = model;
  const found = { right: [], wrong: [] };
  let spent = 0;
  for (const [i, pixels] of examples.entries()) {
    const began = performance.now();
    const probabilities = await current.read(pixels);
    spent += performance.now() - began;
    const right = best(probabilities) === page.examples.labels[i];
    found[right ? "right" : "wrong"].push(i);
    if (i % 20 === 19) await new Promise((resolve) => setTimeout(resolve));
    if (current !== model) return;
  }
  groups = found;
  for (const name of ["right", "wrong"]) {
    element(`count-${name}`).textContent = `(${found[name].length})`;
  }
  element("time").textContent =
    `${(spent / examples.length).toFixed(2)} ms per image: mean of ${examples.length}, on this device.`;
  place = 0;
  for (const name of ["right", "wrong"]) {
    const at = groups[name].indexOf(asked?.example);
    if (at < 0) continue;
    document.querySelector(`input[value=${name}]`).checked = true;
    place = at;
  }
  tell();
}

function best(probabilities) {
  return probabilities.indexOf(Math.max(...probabilities));
}

// `aloud`: tell a screen reader too, once a stroke is done and not while it is drawn.
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
  verdict.textContent = `${percent(probabilities[winner])} sure`;
  verdict.className = "";
  if (label !== null) {
    const right = winner === label;
    verdict.textContent += right ? ". Right." : `. Wrong: it is ${page.classes[label]}.`;
    verdict.className = right ? "" : "wrong";
  }
  element("seen-caption").textContent = caption(label);
  bars(probabilities, winner);
  element("answer").dataset.example = example ?? "";
  if (aloud) element("spoken").textContent = `${sure} sure. ${label === null ? "" : verdict.textContent}`;
}

function caption(label) {
  const [height, width] = page.input_shape;
  if (label !== null) return `Test image: ${page.classes[label]}`;
  return `As the model sees it: ${width}x${height}`;
}

function bars(probabilities, winner) {
  let order = Array.from(probabilities.keys());
  // Few classes keep their places while one draws; of many, the likeliest are shown.
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
  if (pixels === null) nothing();
  else tried(look(pixels, { aloud: done }));
}

async function dropped(file) {
  if (!file) return;
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    say(`${file.name} is not an image that this browser can read. Choose a PNG or JPEG file.`);
    return;
  }
  element("message").hidden = true;
  const [height, width, channels] = page.input_shape;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  await look(fromRgba(context.getImageData(0, 0, width, height).data, channels));
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
  pad?.clear();
  return look(examples[i], { example: i });
}

function listen() {
  if (page.draw) {
    pad = new Pad(element("pad"), drawn);
    element("clear").addEventListener("click", () => {
      pad.clear();
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
      event.target.value = document.body.dataset.file; // still the one before
      throw error;
    }));
  });
  element("file").addEventListener("change", (event) => tried(dropped(event.target.files[0])));
  const drop = element("input");
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
  drop.addEventListener("dragleave", () => element("drop").classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    element("drop").classList.remove("over");
    tried(dropped(event.dataTransfer.files[0]));
  });
}

// What fails is said on the page.
async function tried(work) {
  try {
    await work;
  } catch (error) {
    say(`This does not work: ${error.message}`);
  }
}

tried(start());
