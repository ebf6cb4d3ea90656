// Turns images into the input of a model: raw pixels, 0 to 255, from top to bottom.

const BOX = 20; // MNIST fits a digit into 20x20 pixels
const FIELD = 28; // and puts its center of mass into the middle of 28x28
const CENTER = 14;
const STRIP = 64; // rows of a photograph to read at once, which saves memory
const f = Math.fround;

/**
 * Centers and scales a drawing as MNIST's digits were.
 *
 * @param {ArrayLike<number>} ink gray values 0 (ground) to 255, width * height of them
 * @param {number} width
 * @param {number} height
 * @returns {Uint8Array|null} 28 * 28 values; null where nothing is drawn
 */
export function centered(ink, width, height) {
  const box = bounds(ink, width, height);
  if (box === null) return null;
  const scale = BOX / Math.max(box.width, box.height);
  const columns = Math.max(1, Math.round(box.width * scale));
  const rows = Math.max(1, Math.round(box.height * scale));
  const small = shrunk(ink, width, box, columns, rows);
  let mass = 0;
  let x = 0;
  let y = 0;
  small.forEach((value, i) => {
    mass += value;
    x += value * (i % columns);
    y += value * Math.floor(i / columns);
  });
  // The ink stays within the field, even if the drawing is lopsided.
  const place = (middle, size) =>
    Math.min(Math.max(Math.round(CENTER - middle), 0), FIELD - size);
  const left = place(x / mass, columns);
  const top = place(y / mass, rows);
  const field = new Uint8Array(FIELD * FIELD);
  small.forEach((value, i) => {
    const row = top + Math.floor(i / columns);
    field[row * FIELD + left + (i % columns)] = Math.round(value);
  });
  return field;
}

function bounds(ink, width, height) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[y * width + x] > 0) {
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = y;
      }
    }
  }
  if (right < 0) return null;
  return { left, top, width: right - left + 1, height: bottom - top + 1 };
}

// Each new pixel is the mean of the area that it covers.
function shrunk(ink, width, box, columns, rows) {
  const across = shares(box.width, columns);
  const down = shares(box.height, rows);
  const result = new Float64Array(columns * rows);
  down.forEach((vertical, row) => {
    across.forEach((horizontal, column) => {
      let sum = 0;
      for (const [y, high] of vertical) {
        const start = (box.top + y) * width + box.left;
        for (const [x, wide] of horizontal) sum += high * wide * ink[start + x];
      }
      result[row * columns + column] = sum;
    });
  });
  return result;
}

// Returns, for each of `count` parts of 0..size, the pixels in it and their shares.
function shares(size, count) {
  const step = size / count;
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [i * step, (i + 1) * step];
    const part = [];
    for (let pixel = Math.floor(from); pixel < Math.min(to, size); pixel++) {
      const covered = Math.min(to, pixel + 1) - Math.max(from, pixel);
      if (covered > 0) part.push([pixel, covered / step]);
    }
    return part;
  });
}

/**
 * Resizes an image as `resize` in zoo/data/decode.py does: gray first, then
 * tf.image.resize, bilinear with antialiasing, then rounding. An image of the right size
 * stays as it is.
 *
 * @param {function(number, number): ArrayLike<number>} read gives the RGBA of some rows,
 *     by the number of the first one and their count
 * @param {{width: number, height: number}} size of the image
 * @param {number[]} shape of the result: height, width, channels
 * @param {string} how "stretch", "crop" or "pad"
 * @returns {Uint8Array}
 */
export function resized(read, image, [height, width, channels], how) {
  const target = { width, height };
  if (image.width === width && image.height === height) {
    return fromRgba(read(0, height), channels);
  }
  const region = how === "crop" ? largest(image, target) : largest(image, image);
  if (how !== "pad") return scaled(read, image.width, region, target, channels);
  const part = largest(target, image);
  const small = scaled(read, image.width, region, part, channels);
  const result = new Uint8Array(height * width * channels);
  const line = part.width * channels;
  for (let row = 0; row < part.height; row++) {
    const start = ((part.top + row) * width + part.left) * channels;
    result.set(small.subarray(row * line, (row + 1) * line), start);
  }
  return result;
}

// Returns the largest region in the middle of `within` with the aspect ratio of `like`.
function largest(within, like) {
  const [{ width, height }, { width: columns, height: rows }] = [within, like];
  const wide = Math.floor((2 * height * columns + rows) / (2 * rows));
  const high = Math.floor((2 * width * rows + columns) / (2 * columns));
  const size = {
    width: Math.max(Math.min(width, wide), 1),
    height: Math.max(Math.min(height, high), 1),
  };
  const left = Math.floor((width - size.width) / 2);
  return { ...size, left, top: Math.floor((height - size.height) / 2) };
}

// Resizes a region of an image: the rows first, then the columns, in float32 as
// TensorFlow does. `across` is the width of the image.
function scaled(read, across, region, { width: columns, height: rows }, channels) {
  const down = spans(region.height, rows);
  const line = region.width * channels;
  const tall = new Float32Array(rows * line);
  for (let top = 0; top < region.height; top += STRIP) {
    const count = Math.min(STRIP, region.height - top);
    const pixels = fromRgba(read(region.top + top, count), channels);
    down.forEach(({ first, weights }, row) => {
      const last = Math.min(first + weights.length, top + count);
      for (let y = Math.max(first, top); y < last; y++) {
        const weight = weights[y - first];
        const from = ((y - top) * across + region.left) * channels;
        const to = row * line;
        for (let i = 0; i < line; i++) tall[to + i] += f(weight * pixels[from + i]);
      }
    });
  }
  const result = new Uint8Array(rows * columns * channels);
  spans(region.width, columns).forEach(({ first, weights }, column) => {
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < channels; c++) {
        const from = row * line + first * channels + c;
        let sum = 0;
        weights.forEach((weight, k) => {
          sum = f(sum + f(weight * tall[from + k * channels]));
        });
        result[(row * columns + column) * channels + c] = rounded(sum);
      }
    }
  });
  return result;
}

// Returns, for each of `count` new pixels, the first of the `size` old pixels in it, and
// the weights of these pixels, which fall off linearly from its middle.
function spans(size, count) {
  const step = f(1 / f(count / size));
  const reach = Math.max(step, 1);
  return Array.from({ length: count }, (_, i) => {
    const middle = f((i + 0.5) * step);
    const first = Math.max(Math.ceil(f(f(middle - reach) - 0.5)), 0);
    const last = Math.min(Math.floor(f(f(middle + reach) - 0.5)), size - 1);
    const weights = Float32Array.from({ length: last - first + 1 }, (_, k) =>
      Math.max(1 - Math.abs(f(f(first + k + 0.5 - middle) / reach)), 0));
    const total = weights.reduce((sum, weight) => f(sum + weight), 0);
    return { first, weights: weights.map((weight) => weight * f(1 / total)) };
  });
}

// Rounds to the nearest whole number, and halves to even, as TensorFlow does.
function rounded(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 ? nearest - (nearest % 2) : nearest;
}

// This is in float32, too.
const [RED, GREEN, BLUE] = [0.299, 0.587, 0.114].map(f);
const luma = (red, green, blue) =>
  rounded(f(f(f(RED * red) + f(GREEN * green)) + f(BLUE * blue)));

/**
 * Turns a canvas's RGBA into gray or RGB values.
 *
 * @param {ArrayLike<number>} rgba
 * @param {number} channels 1 or 3
 * @returns {Uint8Array}
 */
export function fromRgba(rgba, channels) {
  const result = new Uint8Array((rgba.length / 4) * channels);
  for (let i = 0; i < rgba.length / 4; i++) {
    const [red, green, blue] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
    if (channels === 1) {
      result[i] = luma(red, green, blue);
    } else {
      result.set([red, green, blue], 3 * i);
    }
  }
  return result;
}

/** Returns light for dark and dark for light. */
export function inverted(pixels) {
  return pixels.map((value) => 255 - value);
}

/** Turns gray or RGB values into a canvas's RGBA. */
export function toRgba(pixels, channels) {
  const result = new Uint8ClampedArray((pixels.length / channels) * 4);
  for (let i = 0; i < pixels.length / channels; i++) {
    for (let c = 0; c < 3; c++) {
      result[4 * i + c] = pixels[i * channels + (channels === 3 ? c : 0)];
    }
    result[4 * i + 3] = 255;
  }
  return result;
}
