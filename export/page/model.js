// Runs a .tflite file in the browser with LiteRT.js.

import { Tensor, loadAndCompile, loadLiteRt } from "./litert/core.js";

let runtime = null;

/** Fetches a file of this folder; throws an error that says what is wrong. */
export async function fetched(path) {
  let response;
  try {
    response = await fetch(path, { cache: "no-cache" });
  } catch (error) {
    throw new Error(`${path} cannot be fetched (${error.message}). Is the server still there?`);
  }
  if (!response.ok) {
    throw new Error(`${path} cannot be fetched: the server answered ${response.status}. Copy the whole folder, or export it again.`);
  }
  return response;
}

// The runtime reports notes as errors, so they go to the debug log.
globalThis.Module = {
  printErr: (line) => (/^(INFO|WARNING|VERBOSE)/.test(line) ? console.debug : console.error)(line),
};

/**
 * Loads a model.
 *
 * @param {{path: string, bytes: number, sha256: string, output: object}} file of page.json
 * @param {number[]} shape of its input, (1, height, width, channels)
 * @returns {Promise<{read: function(Uint8Array): Promise<Float32Array>, delete: function()}>}
 */
export async function load(file, shape) {
  runtime ??= loadLiteRt("litert/wasm/");
  const content = new Uint8Array(await (await fetched(file.path)).arrayBuffer());
  await check(content, file);
  await runtime;
  const compiled = await loadAndCompile(content, { accelerator: "wasm" });
  const { scale, zero_point: zero } = file.output;
  const run = async (pixels) => {
    const values = file.input === "uint8" ? pixels : Float32Array.from(pixels);
    const input = new Tensor(values, shape);
    const [output] = await compiled.run([input]);
    const raw = await output.data();
    const probabilities = Float32Array.from(raw, (value) => (value - zero) * scale);
    input.delete();
    output.delete();
    return probabilities;
  };
  // One call at a time, because the runtime's memory is freed by hand.
  let last = Promise.resolve();
  const queued = (work) => {
    last = last.then(work, work);
    return last;
  };
  return {
    read: (pixels) => queued(() => run(pixels)),
    delete: () => queued(() => compiled.delete()),
  };
}

async function check(content, file) {
  let same = content.length === file.bytes;
  // Browsers have crypto.subtle on https and on localhost only.
  if (same && globalThis.crypto?.subtle) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    same = hex === file.sha256;
  }
  if (!same) {
    throw new Error(`${file.path} is damaged: it is not the file that was exported (${content.length} of ${file.bytes} bytes). Copy the folder again.`);
  }
}
