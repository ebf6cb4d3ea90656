// Images as a model wants them: raw pixels, 0 to 255, rows from top to bottom.

const BOX = 20; // MNIST fits a digit into 20x20 pixels
const FIELD = 28; // and puts its center of mass into the middle of 28x28
const CENTER = 14;

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
  // Never beyond the edge, however lopsided the drawing is.
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

// For each of `count` parts of 0..size: the pixels that it covers, and their shares.
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
      result[i] = Math.round(0.2989 * red + 0.587 * green + 0.114 * blue);
    } else {
      result.set([red, green, blue], 3 * i);
    }
  }
  return result;
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
