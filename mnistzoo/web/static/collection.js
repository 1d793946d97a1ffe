// Drawings that people labelled: kept in this browser, downloaded as a test set.

import { idxBytes } from "./idx.js";
import { zipped } from "./zip.js";

const KEY = "mnistzoo.drawings";

// Return what is kept: [{ label, image }], each image 784 bytes.
function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]").map(({ label, image }) => ({
      label,
      image: Uint8Array.from(atob(image), (character) => character.charCodeAt(0)),
    }));
  } catch {
    return []; // not written by this page, or no storage at all
  }
}

export function count() {
  return read().length;
}

// Keep an image of 784 bytes with its digit; throws where the browser has no room for it.
export function keep(image, label) {
  const kept = [...read(), { label, image }];
  const written = kept.map((each) => ({
    label: each.label,
    image: btoa(String.fromCharCode(...each.image)),
  }));
  localStorage.setItem(KEY, JSON.stringify(written));
}

export function forget() {
  localStorage.removeItem(KEY);
}

// Return a ZIP archive with the two IDX files of a test set, named as MNIST's.
export function archive() {
  const kept = read();
  const images = new Uint8Array(784 * kept.length);
  kept.forEach(({ image }, i) => images.set(image, 784 * i));
  const labels = Uint8Array.from(kept, ({ label }) => label);
  return zipped({
    "t10k-images-idx3-ubyte": idxBytes([kept.length, 28, 28], images),
    "t10k-labels-idx1-ubyte": idxBytes([kept.length], labels),
  });
}
