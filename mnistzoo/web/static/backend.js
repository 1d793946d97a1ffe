// Where answers come from: the server of `mnistzoo draw`. In a static page backend-static.js stands
// in its place.

export const readsPhotographs = true;
export const note = "Drawings and pictures go to the server that this page came from, and no further.";

const MOST_BYTES = 10 * 2 ** 20;

// Return the models on offer: { name, summary, params, accuracy, chosen, ready }.
export async function listModels() {
  return (await answer("api/models")).models;
}

// Return once the model can be used.
export async function load(name) {
  await answer(`api/models/${encodeURIComponent(name)}`, { method: "POST" });
}

// Return what the models say of a drawing, pixels of gray row by row.
export async function readDrawing(pixels, side, names) {
  return await predict(bitmap(pixels, side), names, [["drawing", "true"]]);
}

export async function readPhotograph(blob, names) {
  if (blob.size > MOST_BYTES) throw new Error("The picture has over 10 MB; make it smaller.");
  return await predict(blob, names, []);
}

async function predict(body, names, options) {
  const query = new URLSearchParams([...options, ...names.map((name) => ["model", name])]);
  return await answer(`api/predict?${query}`, { method: "POST", body });
}

async function answer(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer. Is `mnistzoo draw` still running?");
  }
  if (response.status === 503) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * response.headers.get("Retry-After")));
    return await answer(address, options);
  }
  const said = await response.json();
  if (!response.ok) throw new Error(sentence(said.error));
  return said;
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

// Return pixels as a BMP file of 256 grays: as exact as PNG, and written at once.
function bitmap(pixels, side) {
  const file = new Uint8Array(54 + 1024 + side * side);
  const view = new DataView(file.buffer);
  file.set([0x42, 0x4d]);
  view.setUint32(2, file.length, true);
  view.setUint32(10, 54 + 1024, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, side, true);
  view.setInt32(22, -side, true); // the first row is the upper one
  view.setUint16(26, 1, true);
  view.setUint16(28, 8, true);
  for (let gray = 0; gray < 256; gray++) file.fill(gray, 54 + 4 * gray, 57 + 4 * gray);
  file.set(pixels, 54 + 1024);
  return file; // rows of 280 bytes need no padding to a multiple of 4
}
