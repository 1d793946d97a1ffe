// The sheet that people draw on: marks as vectors, shown at the screen's own resolution and read as
// SIDE x SIDE pixels of gray.

export const SIDE = 280;
const STEP = 8;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// A mark is one of
//   { kind: "stroke", width, points: [[x, y], ...] }   in pixels of the gray sheet
//   { kind: "example", image }                          a canvas, drawn over the whole sheet
//   { kind: "photograph", blob, image }                 alone; image is null where it cannot be shown

export class Sheet extends EventTarget {
  // Fires "change" when there is something else on it, "rest" when a mark is whole, "pen" when a
  // key puts the pen down or lifts it.
  penWidth = 22;

  #canvas;
  #gray;
  #marks = [];
  #before = []; // the marks before each change, to undo
  #stroke = null;
  #pointer = null;
  #box = null;
  #cursor = { x: SIDE / 2, y: SIDE / 4, shown: false, down: false };
  #pressed = new Set();
  #frame = 0;

  constructor(canvas) {
    super();
    this.#canvas = canvas;
    const gray = document.createElement("canvas");
    gray.width = gray.height = SIDE;
    this.#gray = gray.getContext("2d", { willReadFrequently: true });
    this.#listen();
    new ResizeObserver(() => this.#show()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#show());
  }

  get isBlank() {
    return this.#marks.length === 0;
  }

  get canUndo() {
    return this.#before.length > 0;
  }

  get photograph() {
    return this.#marks[0]?.kind === "photograph" ? this.#marks[0] : null;
  }

  get hasExample() {
    return this.#marks.some((mark) => mark.kind === "example");
  }

  // Return the drawing as SIDE x SIDE bytes, row by row: 255 is paper, 0 ink; null if all is paper.
  pixels() {
    this.#gray.fillStyle = "#fff";
    this.#gray.fillRect(0, 0, SIDE, SIDE);
    this.#paint(this.#gray, "#000", 1);
    const rgba = this.#gray.getImageData(0, 0, SIDE, SIDE).data;
    const pixels = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < pixels.length; i++) pixels[i] = rgba[4 * i];
    return pixels.some((gray) => gray < 255) ? pixels : null;
  }

  put(mark) {
    this.#change([mark]);
    this.dispatchEvent(new Event("rest"));
  }

  // Show where on a photograph the digit is: left, top, right, bottom in its pixels.
  frame(box) {
    this.#box = box;
    this.#show();
  }

  undo() {
    if (!this.canUndo) return;
    this.#lift();
    this.#set(this.#before.pop());
    this.dispatchEvent(new Event("rest"));
  }

  clear() {
    if (this.isBlank) return;
    this.#lift();
    this.#change([]);
    this.dispatchEvent(new Event("rest"));
  }

  #change(marks) {
    this.#before.push(this.#marks);
    this.#set(marks);
  }

  #set(marks) {
    this.#marks = marks;
    this.#box = null;
    this.#changed();
  }

  #changed() {
    this.#show();
    this.dispatchEvent(new Event("change"));
  }

  #begin(point) {
    this.#stroke = { kind: "stroke", width: this.penWidth, points: [point] };
    this.#change(this.photograph ? [this.#stroke] : [...this.#marks, this.#stroke]);
  }

  #lift() {
    this.#stroke = null;
    this.#pointer = null;
    if (this.#cursor.down) {
      this.#cursor.down = false;
      this.#show();
      this.dispatchEvent(new CustomEvent("pen", { detail: "up" }));
    }
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (this.#pointer !== null || event.button !== 0) return;
      this.#lift();
      this.#cursor.shown = false;
      this.#pointer = event.pointerId;
      canvas.setPointerCapture(event.pointerId);
      this.#begin(this.#place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.#pointer) return;
      const events = event.getCoalescedEvents?.() ?? [];
      this.#stroke.points.push(...(events.length ? events : [event]).map((e) => this.#place(e)));
      this.#changed();
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, (event) => {
        if (event.pointerId !== this.#pointer) return;
        this.#lift();
        this.dispatchEvent(new Event("rest"));
      });
    }
    // Or a quick stroke counts as a fling, and the tap on a button after it as its end.
    canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#keyDown(event));
    canvas.addEventListener("keyup", (event) => this.#pressed.delete(event.key));
    canvas.addEventListener("blur", () => {
      this.#pressed.clear();
      this.#lift();
      this.#cursor.shown = false;
      this.#show();
    });
  }

  #place(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return [((event.clientX - left) / width) * SIDE, ((event.clientY - top) / height) * SIDE];
  }

  #keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const cursor = this.#cursor;
    if (event.key in ARROWS) {
      this.#pressed.add(event.key);
      for (const key of this.#pressed) {
        cursor.x = Math.min(SIDE, Math.max(0, cursor.x + STEP * ARROWS[key][0]));
        cursor.y = Math.min(SIDE, Math.max(0, cursor.y + STEP * ARROWS[key][1]));
      }
      cursor.shown = true;
      if (cursor.down) {
        this.#stroke.points.push([cursor.x, cursor.y]);
        this.#changed();
      }
    } else if (event.key === " ") {
      cursor.shown = true;
      if (cursor.down) {
        this.#lift();
        this.dispatchEvent(new Event("rest"));
      } else {
        cursor.down = true;
        this.#begin([cursor.x, cursor.y]);
        this.dispatchEvent(new CustomEvent("pen", { detail: "down" }));
      }
    } else if (event.key === "Backspace") this.undo();
    else if (event.key === "Delete") this.clear();
    else return;
    event.preventDefault();
    this.#show();
  }

  #show() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      const canvas = this.#canvas;
      const side = Math.round(canvas.clientWidth * devicePixelRatio);
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, side, side);
      const style = getComputedStyle(canvas);
      this.#paint(context, style.color, side / SIDE);
      this.#paintCursor(context, style, side / SIDE);
    });
  }

  #paint(context, ink, scale) {
    context.save();
    context.scale(scale, scale);
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = ink;
    for (const mark of this.#marks) {
      if (mark.kind === "stroke") {
        context.lineWidth = mark.width;
        context.beginPath();
        const [x, y] = mark.points[0];
        context.moveTo(x, y);
        context.lineTo(x + 0.01, y); // of no length nothing is drawn, and a tap is a dot
        for (const point of mark.points) context.lineTo(...point);
        context.stroke();
      } else if (mark.kind === "example") {
        context.drawImage(inked(mark.image, ink), 0, 0, SIDE, SIDE);
      } else if (mark.image) {
        this.#paintPhotograph(context, mark.image);
      }
    }
    context.restore();
  }

  #paintPhotograph(context, image) {
    const scale = SIDE / Math.max(image.width, image.height);
    const left = (SIDE - scale * image.width) / 2;
    const top = (SIDE - scale * image.height) / 2;
    context.drawImage(image, left, top, scale * image.width, scale * image.height);
    if (!this.#box) return;
    const [x0, y0, x1, y1] = this.#box.map((side) => scale * side);
    context.lineWidth = 2;
    context.strokeStyle = getComputedStyle(this.#canvas).getPropertyValue("--accent");
    context.strokeRect(left + x0 - 3, top + y0 - 3, x1 - x0 + 6, y1 - y0 + 6);
  }

  #paintCursor(context, style, scale) {
    if (!this.#cursor.shown) return;
    context.beginPath();
    const radius = this.penWidth / 2 + 3;
    context.arc(this.#cursor.x * scale, this.#cursor.y * scale, radius * scale, 0, 2 * Math.PI);
    context.lineWidth = (this.#cursor.down ? 4 : 2) * scale;
    context.strokeStyle = style.getPropertyValue("--accent");
    context.stroke();
  }
}

// Return the image, whose ink is in its transparency, in one colour.
function inked(image, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}
