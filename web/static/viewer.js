// The film: zoom, move, light, invert, and where the box looked.
//
// The pixels are put through a table of 256 entries on a canvas of the film's own size, so that
// the light is exact and nothing is lost at any zoom; the browser only scales the result.

const ZOOM_STEP = 1.25;
const ZOOM_MOST = 16;
const KEY_STEP = 8; // of a slider, in percent
const PAN_STEP = 48; // pixels on the screen
const STOPS_TO_DOUBLE = 50; // contrast that halves the window

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Window and level as a table: a pixel of value v is shown as table[v]. */
export function lightTable(brightness, contrast, inverted) {
  const width = 255 * 2 ** (-contrast / STOPS_TO_DOUBLE);
  const level = 127.5 - brightness * 1.275;
  const table = new Uint8ClampedArray(256);
  for (let value = 0; value < 256; value += 1) {
    const shown = ((value - level) / width + 0.5) * 255;
    table[value] = inverted ? 255 - clamp(shown, 0, 255) : shown;
  }
  return table;
}

export class Viewer {
  constructor(figure) {
    this.figure = figure;
    this.stage = figure.querySelector(".stage");
    this.sheet = figure.querySelector(".sheet");
    this.image = figure.querySelector(".film-image");
    this.heat = figure.querySelector(".heat");
    this.pointers = new Map();
    this.zoom = 1;
    this.x = 0; // shift of the film's middle from the stage's middle, pixels on the screen
    this.y = 0;
    this.inverted = false;
    this.moves = matchMedia("(pointer: coarse)").matches;
    this.frame = 0;
  }

  /** Take over from the plain image once it is there. */
  async start() {
    await this.image.decode();
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.image.naturalWidth;
    this.canvas.height = this.image.naturalHeight;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", this.image.alt);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.context.drawImage(this.image, 0, 0);
    this.original = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    this.shown = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.shown.data.set(this.original.data);
    this.sheet.prepend(this.canvas);
    this.stage.classList.add("placed");
    this.figure.querySelector(".tools").hidden = false;
    this.listen();
    this.say();
    this.place();
    new ResizeObserver(() => this.place()).observe(this.stage);
    this.figure.dataset.ready = "yes"; // for whoever waits for it
  }

  // --- where the film lies ---

  /** Place the film and the heat map on it: one box for both, so that they can never part. */
  place() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    const fit = Math.min(width / this.canvas.width, height / this.canvas.height);
    const w = this.canvas.width * fit * this.zoom;
    const h = this.canvas.height * fit * this.zoom;
    const free = (size, room) => Math.max((size - room) / 2, 0);
    this.x = clamp(this.x, -free(w, width), free(w, width));
    this.y = clamp(this.y, -free(h, height), free(h, height));
    this.sheet.style.width = `${w}px`;
    this.sheet.style.height = `${h}px`;
    this.sheet.style.transform = `translate(${(width - w) / 2 + this.x}px, ${(height - h) / 2 + this.y}px)`;
    this.stage.classList.toggle("zoomed", this.zoom > 1);
  }

  /** Zoom about a point of the stage (its middle when none is given): that point stays. */
  zoomBy(factor, at = null) {
    const before = this.zoom;
    this.zoom = clamp(before * factor, 1, ZOOM_MOST);
    const real = this.zoom / before;
    const box = this.stage.getBoundingClientRect();
    const dx = at ? at.x - box.left - box.width / 2 : 0;
    const dy = at ? at.y - box.top - box.height / 2 : 0;
    this.x = dx - (dx - this.x) * real;
    this.y = dy - (dy - this.y) * real;
    this.place();
  }

  moveBy(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.place();
  }

  // --- its light ---

  slider(name) { return this.figure.querySelector(`#${name}`); }

  /** Change a slider by steps and show the light. */
  turn(name, by) {
    const slider = this.slider(name);
    slider.value = String(clamp(Number(slider.value) + by, -100, 100));
    this.lighten();
  }

  /** Redraw with the present light, once a frame however many changes came. */
  lighten() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const table = lightTable(Number(this.slider("brightness").value), Number(this.slider("contrast").value), this.inverted);
      const from = this.original.data;
      const to = this.shown.data;
      for (let i = 0; i < from.length; i += 4) {
        to[i] = table[from[i]];
        to[i + 1] = table[from[i + 1]];
        to[i + 2] = table[from[i + 2]];
      }
      this.context.putImageData(this.shown, 0, 0);
    });
  }

  // --- what the buttons and keys do ---

  invert() { this.inverted = !this.inverted; this.say(); this.lighten(); }

  toggleMove() { this.moves = !this.moves; this.say(); }

  toggleHeat() {
    if (!this.heat) return;
    if (!this.heat.src) this.heat.src = this.heat.dataset.src; // fetched only when it is asked for
    this.heat.hidden = !this.heat.hidden;
    this.say();
  }

  reset() {
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
    this.inverted = false;
    this.slider("brightness").value = "0";
    this.slider("contrast").value = "0";
    this.say();
    this.place();
    this.lighten();
  }

  /** Show on the buttons what is on. */
  say() {
    const pressed = (id, on) => this.figure.querySelector(`#${id}`)?.setAttribute("aria-pressed", String(on));
    pressed("invert", this.inverted);
    pressed("move", this.moves);
    pressed("overlay", this.heat !== null && !this.heat.hidden);
    this.stage.classList.toggle("moves", this.moves);
  }

  // --- hands ---

  listen() {
    const on = (id, act) => this.figure.querySelector(`#${id}`)?.addEventListener("click", act);
    on("overlay", () => this.toggleHeat());
    on("zoom-in", () => this.zoomBy(ZOOM_STEP));
    on("zoom-out", () => this.zoomBy(1 / ZOOM_STEP));
    on("invert", () => this.invert());
    on("move", () => this.toggleMove());
    on("reset", () => this.reset());
    for (const name of ["brightness", "contrast"]) this.slider(name).addEventListener("input", () => this.lighten());
    this.slider("opacity")?.addEventListener("input", (event) => {
      this.heat.style.opacity = String(Number(event.target.value) / 100);
      if (this.heat.hidden) this.toggleHeat(); // who turns the slider wants to see it
    });
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, { x: event.clientX, y: event.clientY });
    }, { passive: false });
    this.stage.addEventListener("dblclick", () => this.reset());
    this.stage.addEventListener("pointerdown", (event) => this.down(event));
    this.stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const type of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(type, (event) => this.pointers.delete(event.pointerId));
    }
    document.addEventListener("keydown", (event) => this.key(event));
  }

  down(event) {
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.stage.setPointerCapture(event.pointerId);
  }

  /** One finger or the mouse: light or move. Two fingers: zoom and move. */
  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    if (other) {
      const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y);
      const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
      this.zoomBy(apart(now) / Math.max(apart(before), 1), middle);
      this.moveBy(dx / 2, dy / 2);
    } else if (this.moves || event.shiftKey || event.buttons === 4) {
      this.moveBy(dx, dy);
    } else {
      // As on the reading stations: sideways is contrast, up is brighter.
      this.turn("contrast", dx / 3);
      this.turn("brightness", -dy / 3);
    }
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest?.("input:not([type=range]), textarea")) return;
    const act = {
      o: () => this.toggleHeat(),
      i: () => this.invert(),
      m: () => this.toggleMove(),
      r: () => this.reset(),
      "+": () => this.zoomBy(ZOOM_STEP),
      "=": () => this.zoomBy(ZOOM_STEP),
      "-": () => this.zoomBy(1 / ZOOM_STEP),
      ".": () => this.turn("brightness", KEY_STEP),
      ",": () => this.turn("brightness", -KEY_STEP),
      "]": () => this.turn("contrast", KEY_STEP),
      "[": () => this.turn("contrast", -KEY_STEP),
      ...(event.target === this.stage ? this.arrows() : {}),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** The arrows move the film only when it is chosen: else they scroll the page. */
  arrows() {
    return {
      ArrowLeft: () => this.moveBy(PAN_STEP, 0),
      ArrowRight: () => this.moveBy(-PAN_STEP, 0),
      ArrowUp: () => this.moveBy(0, PAN_STEP),
      ArrowDown: () => this.moveBy(0, -PAN_STEP),
    };
  }
}
