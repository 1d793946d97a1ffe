// The IDX format of MNIST's files: two zero bytes, 8 for bytes, the number of dimensions, each
// dimension as a big-endian 32-bit number, then the bytes.

export function idxBytes(shape, bytes) {
  const file = new Uint8Array(4 + 4 * shape.length + bytes.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x0800 | shape.length);
  shape.forEach((length, i) => view.setUint32(4 + 4 * i, length));
  file.set(bytes, 4 + 4 * shape.length);
  return file;
}

// Return the images of an IDX file of bytes with three dimensions, each a Uint8Array.
export function readImages(buffer) {
  const view = new DataView(buffer);
  const [count, height, width] = [4, 8, 12].map((offset) => view.getUint32(offset));
  const size = height * width;
  return Array.from({ length: count }, (_, i) => new Uint8Array(buffer, 16 + i * size, size));
}
