// A canvas for drawing white on black with mouse, pen, finger or keyboard.

const PEN = 22; // like MNIST's strokes, if a digit fills most of the canvas
const STEP = 10;

export class Pad {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {function(boolean)} changed called at most once a frame; true when a stroke is done
   */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(this.context, {
      lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#fff",
    });
    this.last = null;
    this.pointer = null;
    this.frame = null;
    this.pen = { x: canvas.width / 2, y: canvas.height / 4, down: false };
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#end(event));
    canvas.addEventListener("pointercancel", (event) => this.#end(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    this.clear();
  }

  /** Gray values 0 to 255. */
  get ink() {
    const { width, height } = this.canvas;
    const rgba = this.context.getImageData(0, 0, width, height).data;
    return Uint8Array.from({ length: width * height }, (_, i) => rgba[4 * i]);
  }

  clear() {
    const { width, height } = this.canvas;
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, width, height);
    this.pen = { x: width / 2, y: height / 4, down: false };
  }

  #begin(event) {
    if (this.pointer !== null || event.button !== 0) return;
    event.preventDefault();
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.last = this.#place(event);
    this.#line(this.last);
  }

  #move(event) {
    if (event.pointerId !== this.pointer) return;
    // A quick stroke has more points than frames.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) this.#line(this.#place(one));
  }

  #end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.#done();
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape") {
      this.clear();
      this.#done();
    } else if (event.key === " ") {
      this.pen.down = !this.pen.down;
      this.last = { x: this.pen.x, y: this.pen.y };
      if (this.pen.down) this.#line(this.last);
      else this.#done();
    } else if (event.key in moves) {
      const [x, y] = moves[event.key];
      const inside = (value, size) => Math.min(Math.max(value, PEN), size - PEN);
      this.pen.x = inside(this.pen.x + x * STEP, this.canvas.width);
      this.pen.y = inside(this.pen.y + y * STEP, this.canvas.height);
      if (this.pen.down) this.#line({ x: this.pen.x, y: this.pen.y });
    } else {
      return;
    }
    event.preventDefault();
  }

  #done() {
    // Otherwise the frame's answer, which is not spoken, would follow this one.
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.changed(true);
  }

  #place(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - left) * this.canvas.width) / width,
      y: ((event.clientY - top) * this.canvas.height) / height,
    };
  }

  #line(to) {
    this.context.beginPath();
    this.context.moveTo(this.last.x, this.last.y);
    this.context.lineTo(to.x, to.y);
    this.context.stroke();
    this.last = to;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.changed(false);
    });
  }
}
