// Drawings that people labelled: kept in this browser, downloaded as a test set.

import { idxBytes } from "./idx.js";
import { zipped } from "./zip.js";

const KEY = "mnistzoo.drawings";

let written = null; // what was read last,
let kept = []; // and what it says: [{ label, image }], each image 784 bytes in base64

// Return what is kept, also by another tab of this page.
function read() {
  try {
    const found = localStorage.getItem(KEY) ?? "[]";
    if (found !== written) {
      kept = JSON.parse(found).filter(
        ({ label, image }) => Number.isInteger(label) && decoded(image).length === 784,
      );
      written = found;
    }
    return kept;
  } catch {
    return []; // not written by this page, or no storage at all
  }
}

export function count() {
  return read().length;
}

// Return the label that an image of 784 bytes is kept with; null if it is not kept.
export function labelOf(image) {
  const bytes = encoded(image);
  return read().find((each) => each.image === bytes)?.label ?? null;
}

// Keep an image with its label, once: the last label counts, and null takes the image out. Throws
// where the browser has no room for it.
export function keep(image, label) {
  const bytes = encoded(image);
  const others = read().filter((each) => each.image !== bytes);
  const all = label === null ? others : [...others, { label, image: bytes }];
  localStorage.setItem(KEY, JSON.stringify(all));
}

function encoded(image) {
  return btoa(String.fromCharCode(...image));
}

function decoded(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

export function forget() {
  localStorage.removeItem(KEY);
}

// Return a ZIP archive with the two IDX files of a test set, named as MNIST's.
export function archive() {
  const drawings = read();
  const images = new Uint8Array(784 * drawings.length);
  drawings.forEach(({ image }, i) => images.set(decoded(image), 784 * i));
  const labels = Uint8Array.from(drawings, ({ label }) => label);
  return zipped({
    "t10k-images-idx3-ubyte": idxBytes([drawings.length, 28, 28], images),
    "t10k-labels-idx1-ubyte": idxBytes([drawings.length], labels),
  });
}
