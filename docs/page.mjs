// Takes docs/page.png: opens the page of an exported run, draws a 3, waits for the answer.
//
//   make demo                                  in another terminal
//   npm ci --prefix export/page                once
//   node docs/page.mjs http://127.0.0.1:8000/ /usr/bin/chromium

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const [url, executablePath] = process.argv.slice(2);
const require = createRequire(new URL("../export/page/", import.meta.url));
const { chromium } = require("playwright-core");

// From 0 to 1, left to right and top to bottom.
const STROKE = [
  [0.3, 0.25], [0.4, 0.17], [0.55, 0.16], [0.66, 0.24], [0.66, 0.36], [0.57, 0.45],
  [0.44, 0.48], [0.58, 0.5], [0.7, 0.6], [0.7, 0.74], [0.58, 0.84], [0.4, 0.84],
  [0.28, 0.76],
];

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({
  viewport: { width: 900, height: 530 },
  colorScheme: "light",
});
await page.goto(url);
await page.locator("#main").waitFor({ state: "visible" });
const box = await page.locator("#pad").boundingBox();
const points = STROKE.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
await page.mouse.move(...points[0]);
await page.mouse.down();
for (const point of points) await page.mouse.move(...point, { steps: 4 });
await page.mouse.up();
await page.waitForTimeout(1000); // the bars move for a moment
await page.screenshot({ path: fileURLToPath(new URL("page.png", import.meta.url)) });
console.log(await page.locator("#best").textContent());
await browser.close();
