// Visits a served page in a real browser; prints what it saw as JSON.
//
// node visit.mjs '{"url": ..., "chromium": ..., "do": "examples", ...}'

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const order = JSON.parse(process.argv[2]);
const require = createRequire(pathToFileURL(order.modules + "/"));
const { chromium } = require("playwright-core");

const browser = await chromium.launch({
  executablePath: order.chromium,
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const seen = { requests: [], console: [], errors: [] };

async function open(options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("console", (message) => {
    if (message.type() === "error") seen.console.push(message.text());
  });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  const began = Date.now();
  await page.goto(order.url);
  if (order.do === "broken") {
    await page.waitForFunction(() => !/^Loading/.test(message.textContent));
  } else {
    await page.locator("#main").waitFor({ state: "visible" });
    seen.first_answer_ms ??= Date.now() - began;
    await page.locator("#time:not(:empty)").waitFor();
  }
  return page;
}

// Reads the answer on the page: the class, and the probabilities of the bars.
const answer = (page) =>
  page.evaluate(() => ({
    best: document.getElementById("best").textContent,
    example: document.getElementById("answer").dataset.example,
    bars: Array.from(document.querySelectorAll("#bars li"), (row) => [
      row.querySelector(".name").textContent,
      Number(row.dataset.share),
    ]),
    spoken: document.getElementById("spoken").textContent,
  }));

// Reads the pixels that the model sees: red, green and blue of each.
const pixels = (page) =>
  page.evaluate(() => {
    const { width, height } = document.getElementById("seen");
    const context = document.getElementById("seen").getContext("2d");
    const rgba = context.getImageData(0, 0, width, height).data;
    return Array.from(rgba).filter((_, i) => i % 4 !== 3);
  });

const settled = (page) =>
  page.evaluate(() => new Promise((done) => {
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100)));
  }));

// Strokes on the pad, as points [x, y] from 0 to 1.
const STROKES = {
  1: [[[0.5, 0.15], [0.5, 0.85]]],
  7: [[[0.25, 0.2], [0.75, 0.2], [0.45, 0.85]]],
  0: [Array.from({ length: 33 }, (_, i) => [
    0.5 + 0.22 * Math.sin((Math.PI * i) / 16), 0.5 - 0.33 * Math.cos((Math.PI * i) / 16),
  ])],
};

async function draw(page, digit, pen) {
  await page.locator("#clear").click();
  await page.locator("#pad").scrollIntoViewIfNeeded();
  const box = await page.locator("#pad").boundingBox();
  for (const stroke of STROKES[digit]) {
    const points = stroke.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
    await pen(points);
  }
  await settled(page);
  return answer(page);
}

const mouse = (page) => async (points) => {
  await page.mouse.move(...points[0]);
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...point, { steps: 10 });
  await page.mouse.up();
};

const finger = async (page) => {
  const session = await page.context().newCDPSession(page);
  const touch = (type, points) =>
    session.send("Input.dispatchTouchEvent", {
      type, touchPoints: points.map(([x, y]) => ({ x, y })),
    });
  return async (points) => {
    await touch("touchStart", [points[0]]);
    for (let i = 1; i < points.length; i++) {
      for (let k = 1; k <= 5; k++) {
        const between = (axis) =>
          points[i - 1][axis] + (k / 5) * (points[i][axis] - points[i - 1][axis]);
        await touch("touchMove", [[between(0), between(1)]]);
      }
    }
    await touch("touchEnd", []);
  };
};

const visits = {
  // Uses the buttons to show every test image with one file.
  async examples() {
    const page = await open();
    await page.locator("#model-file").selectOption(order.file);
    await page.waitForFunction((name) => document.body.dataset.file === name, order.file);
    await page.locator("#time:not(:empty)").waitFor();
    await settled(page);
    seen.answers = [];
    for (const group of ["right", "wrong"]) {
      await page.locator(`input[value=${group}]`).check();
      const count = Number((await page.locator(`#count-${group}`).textContent()).slice(1, -1));
      for (let i = 0; i < count; i++) {
        if (i) await page.locator("#next").click();
        await page.waitForFunction(
          ([before, position]) =>
            document.getElementById("answer").dataset.example !== before &&
            document.getElementById("position").textContent.startsWith(`${position} `),
          [seen.answers.at(-1)?.example ?? "", i + 1],
        );
        seen.answers.push({ ...(await answer(page)), group });
      }
    }
  },

  async drawing() {
    const page = await open({ viewport: { width: 1280, height: 900 } });
    seen.prepared = await page.locator("#prepared").innerText();
    seen.time = await page.locator("#time").innerText();
    const invited = () => page.locator("#invitation").isVisible();
    seen.invited = [await invited()];
    seen.mouse = {};
    for (const digit of [1, 0, 7]) seen.mouse[digit] = await draw(page, digit, mouse(page));
    await page.locator("#model-file").selectOption("float32");
    await page.waitForFunction(() => document.body.dataset.file === "float32");
    await settled(page);
    seen.other = await answer(page);
    seen.invited.push(await invited());
    await page.locator("#clear").click();
    seen.invited.push(await invited());
    seen.cleared = await answer(page);
    await page.locator("#pad").focus();
    await page.keyboard.press("Space");
    for (let i = 0; i < 18; i++) await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Space");
    await settled(page);
    seen.keyboard = await answer(page);
  },

  // A file that arrives after another was chosen, and one chosen when nothing is shown.
  async choices() {
    const page = await open();
    const select = page.locator("#model-file");
    let release;
    const held = new Promise((resolve) => (release = resolve));
    await page.route("**/model_float32.tflite", async (route) => {
      await held;
      await route.continue();
    });
    await select.selectOption("float32");
    const second = page.waitForResponse("**/model_int8.tflite");
    await select.selectOption("int8");
    await second;
    await settled(page);
    const late = page.waitForResponse("**/model_float32.tflite");
    release();
    await late;
    await page.waitForTimeout(1000);
    seen.chosen = await select.inputValue();
    seen.used = await page.evaluate(() => document.body.dataset.file);
    await page.locator("#clear").click();
    await select.selectOption("float32");
    await page.waitForFunction(() => document.body.dataset.file === "float32");
    await settled(page);
    seen.cleared = await answer(page);
  },

  async touch() {
    const page = await open({
      viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true,
    });
    const pen = await finger(page);
    seen.bottoms = {};
    for (const id of ["title", "invitation", "pad", "drop", "best"]) {
      const box = await page.locator(`#${id}`).boundingBox();
      seen.bottoms[id] = box.y + box.height;
    }
    seen.touch = {};
    for (const digit of [1, 0, 7]) {
      seen.touch[digit] = await draw(page, digit, pen);
    }
    seen.width = await page.evaluate(() => document.documentElement.scrollWidth);
    seen.targets = await page.evaluate(() =>
      Array.from(document.querySelectorAll("button, select, label:has(input)"), (target) => [
        target.id || target.textContent.trim(), target.getBoundingClientRect().height,
      ]));
  },

  async access() {
    const page = await open();
    const session = await page.context().newCDPSession(page);
    const { nodes } = await session.send("Accessibility.getFullAXTree");
    seen.tree = nodes
      .filter((node) => !node.ignored)
      .map((node) => [node.role?.value, node.name?.value ?? ""]);
    seen.stops = [];
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press("Tab");
      seen.stops.push(await page.evaluate(() => document.activeElement.id ||
        document.activeElement.value || document.activeElement.tagName));
    }
  },

  // Drops or chooses images in turn, and reads what the model sees.
  async drop() {
    const page = await open();
    seen.drawing = await page.locator("#drawing").isVisible();
    seen.prepared = await page.locator("#prepared").innerText();
    seen.tracks = await page.locator("#bars .track").evaluateAll(
      (tracks) => tracks.map((track) => track.getBoundingClientRect().left));
    seen.dropped = [];
    for (const [i, path] of order.images.entries()) {
      await page.evaluate(() => (document.getElementById("best").textContent = ""));
      if (i % 2) {
        await page.locator("#file").setInputFiles(path);
      } else {
        const transfer = await page.evaluateHandle((bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], "dropped.png"));
          return data;
        }, Array.from(readFileSync(path)));
        await page.locator("#input").dispatchEvent("drop", { dataTransfer: transfer });
      }
      await page.waitForFunction(() => document.getElementById("best").textContent ||
        !document.getElementById("message").hidden);
      const text = async (id) =>
        (await page.locator(id).isVisible()) ? page.locator(id).textContent() : "";
      seen.dropped.push({
        ...(await answer(page)), pixels: await pixels(page),
        message: await text("#message"),
      });
    }
    if (order.invert) {
      await page.locator("#invert").check();
      await settled(page);
      seen.inverted = await pixels(page);
    }
  },

  async broken() {
    const page = await open();
    seen.visible = await page.locator("#message").isVisible();
    seen.message = await page.locator("#message").textContent();
  },

  async screenshots() {
    for (const width of [360, 1280]) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await open({ viewport: { width, height: 800 }, colorScheme });
        if (order.draw) await draw(page, 7, mouse(page));
        await page.screenshot({
          path: `${order.directory}/${width}-${colorScheme}.png`, fullPage: true,
        });
      }
    }
  },
};

try {
  await visits[order.do]();
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
