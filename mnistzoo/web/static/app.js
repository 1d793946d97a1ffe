// The page: what is drawn goes to the backend, what it answers onto the page.

import * as backend from "./backend.js";
import * as collection from "./collection.js";
import { readImages } from "./idx.js";
import { duration, element, showReadings, showSeen, verdict } from "./readings.js";
import { Sheet, SIDE } from "./sheet.js";

const PAUSE_MS = 700; // without a change, after which a screen reader is told the answer
const REMEMBERED = 31; // latencies, of which the median is shown

const COMPACT = new Intl.NumberFormat("en", { notation: "compact" });
const at = (id) => document.getElementById(id);
const sheet = new Sheet(at("canvas"));
const models = new Map(); // by name: { ...facts, chosen, ready, error, latencies }
let answer = null; // of what is on the sheet now; null before it came
let changes = 0; // counts what was put on the sheet
let asking = false;
let answered = Promise.resolve(); // once the answer is that of what is on the sheet now
let examples = null;

// Asking

function chosen() {
  return [...models.values()].filter((model) => model.chosen);
}

// Ask about what is on the sheet, again and again until the answer is of its last state.
async function ask() {
  at("reading").setAttribute("aria-busy", "true");
  asking = true;
  for (let asked = -1; asked !== changes; ) {
    asked = changes;
    const names = chosen().filter((model) => model.ready).map((model) => model.name);
    const started = performance.now();
    try {
      const said = sheet.isBlank || names.length === 0 ? null : await read(names);
      if (said && asked === changes) remember(said);
      show(said, performance.now() - started);
      complain("");
    } catch (error) {
      show(null, 0);
      complain(error.message);
    }
  }
  asking = false;
  at("reading").setAttribute("aria-busy", "false");
}

async function read(names) {
  const { photograph } = sheet;
  if (photograph) return await backend.readPhotograph(photograph.blob, names);
  const pixels = sheet.pixels();
  return pixels && (await backend.readDrawing(pixels, SIDE, names));
}

function remember({ predictions }) {
  for (const { model, latency_us: latency } of predictions) {
    const { latencies } = models.get(model);
    latencies.push(latency);
    if (latencies.length > REMEMBERED) latencies.shift();
  }
}

function latency({ latencies }) {
  return [...latencies].sort((a, b) => a - b)[latencies.length >> 1] ?? 0;
}

function byLatency(a, b) {
  return (latency(a) || Infinity) - (latency(b) || Infinity) || 0; // Infinity twice is NaN
}

async function load(model) {
  model.error = "";
  try {
    await backend.load(model.name);
    model.ready = true;
  } catch (error) {
    model.error = error.message;
  }
  changed();
}

// Showing

function show(said, milliseconds) {
  answer = said;
  // The sentence and the cards name the models in one order.
  const predictions = said?.predictions.sort((a, b) =>
    byLatency(models.get(a.model), models.get(b.model)),
  );
  const { digit, doubtful, sentence } = predictions ? verdict(predictions) : nothing();
  at("digit").textContent = digit;
  at("digit").classList.toggle("doubtful", doubtful);
  at("sentence").textContent = sentence;
  at("delay").textContent = said ? `answered in ${duration(1000 * milliseconds)}` : "";
  showSeen(at("seen"), said?.image);
  if (said && sheet.photograph) sheet.frame(said.box);
  const byModel = new Map(predictions?.map((each) => [each.model, each]));
  const cards = chosen().sort(byLatency).map((model) => ({
    name: model.name,
    latency: latency(model),
    prediction: byModel.get(model.name),
    state: model.error || (model.ready ? "" : "being prepared, once, for up to a minute …"),
  }));
  showReadings(at("readings"), cards);
  showLabels();
}

function nothing() {
  let sentence = "";
  if (chosen().length === 0) sentence = "Choose a model below.";
  else if (!chosen().some((model) => model.ready)) sentence = "The model is being prepared …";
  return { digit: "", doubtful: false, sentence };
}

function complain(sentence) {
  at("notice").textContent = sentence;
  at("notice").hidden = !sentence;
}

function changed() {
  changes += 1;
  at("invitation").hidden = !sheet.isBlank;
  at("undo").disabled = !sheet.canUndo;
  at("clear").disabled = sheet.isBlank;
  if (!asking) answered = ask();
}

let pause = 0;
function announce(sentence) {
  clearTimeout(pause);
  at("said").textContent = sentence;
}
function announceSoon() {
  clearTimeout(pause);
  pause = setTimeout(() => announce(at("sentence").textContent), PAUSE_MS);
}

function showKept() {
  const count = collection.count();
  const drawings = count === 1 ? "1 drawing is" : `${count} drawings are`;
  at("kept").textContent = `${drawings} kept in this browser.`;
  at("collection").hidden = count === 0;
  at("forget").textContent = "Forget";
  showLabels();
}

// Only what people drew or photographed themselves is kept, a digit at a time. Return why what is
// on the sheet is not; "" if it is.
function whyNotKept() {
  if (sheet.hasExample) return "MNIST's own digits are not kept.";
  const several = answer.predictions.some(({ doubts }) => doubts.length > 1);
  return several ? "Only single digits are kept." : "";
}

function showLabels() {
  const why = answer ? whyNotKept() : "";
  const kept = answer && !why ? collection.labelOf(answer.image) : null;
  at("label-question").textContent = why || "Keep it as a …";
  [...at("labels").children].forEach((button, digit) => {
    button.disabled = !answer || why !== "";
    button.setAttribute("aria-pressed", String(kept === digit));
  });
}

function showModels() {
  at("models").replaceChildren(
    ...[...models.values()].map((model) => {
      const box = element("input");
      box.type = "checkbox";
      box.checked = model.chosen;
      box.addEventListener("change", () => {
        model.chosen = box.checked;
        if (model.chosen && !model.ready) load(model);
        changed();
      });
      const facts = [
        model.accuracy && `${(100 * model.accuracy).toFixed(2)}\u00a0%`,
        model.params && COMPACT.format(model.params),
      ].filter(Boolean);
      const name = element("b", "", model.name);
      const chip = element("label", "chip", box, name, element("span", "", facts.join(", ")));
      chip.title = model.summary;
      return chip;
    }),
  );
}

// What people do

sheet.addEventListener("change", () => {
  changed();
  announceSoon();
});
sheet.addEventListener("rest", announceSoon);
sheet.addEventListener("pen", (event) => announce(`pen ${event.detail}`));
at("undo").addEventListener("click", () => sheet.undo());
at("clear").addEventListener("click", () => sheet.clear());
at("pen").addEventListener("input", (event) => (sheet.penWidth = Number(event.target.value)));
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z") sheet.undo();
});

at("example").addEventListener("click", async () => {
  try {
    examples ??= await fetchExamples();
  } catch {
    return complain("The examples cannot be fetched.");
  }
  const image = examples[Math.floor(Math.random() * examples.length)];
  const canvas = element("canvas");
  canvas.width = canvas.height = 28;
  const pixels = new ImageData(28, 28);
  image.forEach((ink, i) => (pixels.data[4 * i + 3] = ink));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  sheet.put({ kind: "example", image: canvas });
});

async function fetchExamples() {
  const response = await fetch("examples-idx3-ubyte");
  return readImages(await response.arrayBuffer());
}

async function take(file) {
  if (!backend.readsPhotographs) return complain(backend.note);
  // What this browser cannot show, such as HEIC, may still be read.
  const image = await createImageBitmap(file).catch(() => null);
  sheet.put({ kind: "photograph", blob: file, image });
}

at("choose").hidden = at("how").hidden = !backend.readsPhotographs;
at("choose").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", (event) => {
  if (event.target.files.length) take(event.target.files[0]);
  event.target.value = "";
});
addEventListener("paste", (event) => takeFirst(event, event.clipboardData));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => takeFirst(event, event.dataTransfer));

function takeFirst(event, data) {
  const file = [...data.files].find(({ type }) => type.startsWith("image/") || !type);
  if (!file) return;
  event.preventDefault();
  take(file);
}

for (let digit = 0; digit < 10; digit++) {
  const button = element("button", "", String(digit));
  button.type = "button";
  button.disabled = true;
  button.addEventListener("click", () => keepAs(digit));
  at("labels").append(button);
}

// Keep what is on the sheet under a label, or no longer if it is kept under that one already.
async function keepAs(digit) {
  const labelled = changes;
  await answered;
  if (changes !== labelled || !answer || whyNotKept()) return; // something else is on the sheet
  const label = collection.labelOf(answer.image) === digit ? null : digit;
  try {
    collection.keep(answer.image, label);
    announce(label === null ? "no longer kept" : `kept as ${digit}`);
  } catch {
    complain("This browser has no room for more drawings: download them, then forget them.");
  }
  showKept();
}

at("download").addEventListener("click", () => {
  const link = element("a");
  link.href = URL.createObjectURL(collection.archive());
  link.download = "drawings.zip";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href));
});
at("forget").addEventListener("click", ({ target }) => {
  if (target.textContent === "Forget") {
    target.textContent = "Really forget?";
  } else {
    collection.forget();
    showKept();
  }
});
at("forget").addEventListener("blur", showKept);

// The beginning

at("note").textContent = backend.note;
showKept();
showSeen(at("seen"), null);
try {
  for (const facts of await backend.listModels()) {
    models.set(facts.name, { ...facts, error: "", latencies: [] });
  }
  showModels();
  for (const model of chosen()) if (!model.ready) load(model);
  changed();
} catch (error) {
  complain(error.message);
}
