// Where the answers of a static page come from: models that onnxruntime-web runs in this browser.
// `mnistzoo draw --static` writes this file as backend.js.

import { doubtOf, normalised } from "./normalise.js";

export const readsPhotographs = false;
export const note =
  "The models run in this browser, and nothing leaves it. This page reads drawings only; to read " +
  "photographs too, run `mnistzoo draw`.";

const models = new Map(); // by name, once loaded: { run, temperature, threshold }
let site = null;
let runtime = null;

// Return the models on offer: { name, summary, params, accuracy, chosen, ready }.
export async function listModels() {
  const response = await fetched("models.json");
  site = await response.json();
  return site.models;
}

// Return once the model can be used.
export async function load(name) {
  runtime ??= loadRuntime(site.runtime);
  let ort;
  try {
    ort = await runtime;
  } catch (error) {
    runtime = null; // so that choosing the model again tries again
    throw error;
  }
  const { file, integrity, temperature, threshold } = site.models.find(
    (model) => model.name === name,
  );
  const response = await fetched(file, integrity);
  const session = await ort.InferenceSession.create(new Uint8Array(await response.arrayBuffer()));
  const run = async (image) => {
    const input = Float32Array.from(image, (ink) => ink / 255);
    const tensor = new ort.Tensor("float32", input, [1, 1, 28, 28]);
    const outputs = await session.run({ [session.inputNames[0]]: tensor });
    return outputs[session.outputNames[0]].data;
  };
  await run(new Uint8Array(784)); // the first takes longer
  models.set(name, { run, temperature, threshold });
}

// Return what the models say of a drawing, pixels of gray row by row.
export async function readDrawing(pixels, side, names) {
  const found = normalised(pixels, side, side);
  if (!found) return null;
  const predictions = [];
  for (const name of names) {
    const started = performance.now();
    const model = models.get(name);
    const logits = await model.run(found.image);
    const milliseconds = performance.now() - started;
    predictions.push({ model: name, ...prediction(model, logits, found.image, milliseconds) });
  }
  predictions.sort((a, b) => a.latency_us - b.latency_us);
  return { image: found.image, box: found.box, digits: 1, predictions };
}

function prediction({ temperature, threshold }, logits, image, milliseconds) {
  const highest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp((logit - highest) / temperature));
  const sum = powers.reduce((a, b) => a + b);
  const probabilities = powers.map((power) => power / sum);
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a]);
  const [digit, other] = order;
  const confidence = probabilities[digit];
  const doubt = doubtOf(image, confidence, threshold);
  return {
    digit,
    confidence,
    probabilities,
    runner_up: other,
    doubt,
    doubts: [doubt],
    text: String(digit),
    latency_us: 1000 * milliseconds,
  };
}

// Both files are checked against their hashes before any of them runs.
async function loadRuntime({ module, wasm }) {
  const files = await Promise.all([module, wasm].map((each) => fetched(each.address, each.integrity)));
  const [code, binary] = await Promise.all(files.map((response) => response.arrayBuffer()));
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const ort = await import(address);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = binary;
  return ort;
}

async function fetched(address, integrity = "") {
  let response;
  try {
    response = await fetch(address, { integrity });
  } catch {
    throw new Error(`${address} cannot be fetched, or is not the file that this page was made with.`);
  }
  if (!response.ok) throw new Error(`${address} cannot be fetched (HTTP ${response.status}).`);
  return response;
}
