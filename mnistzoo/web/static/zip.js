// A ZIP archive of a few files, stored as they are (APPNOTE.TXT, sections 4.3.7, 4.3.12, 4.3.16).

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// Return the archive of { name: bytes } as a Blob; names are plain ASCII.
export function zipped(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, bytes] of Object.entries(files)) {
    const encoded = new TextEncoder().encode(name);
    // Version 2.0, no flags, stored, midnight of 1 January 1980, checksum, sizes, length of name.
    const facts = [
      [20, 2], [0, 2], [0, 2], [0, 2], [0x21, 2],
      [crc32(bytes), 4], [bytes.length, 4], [bytes.length, 4], [encoded.length, 2], [0, 2],
    ];
    const local = numbers([[0x04034b50, 4], ...facts]);
    directory.push(
      numbers([[0x02014b50, 4], [20, 2], ...facts, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]),
      encoded,
    );
    parts.push(local, encoded, bytes);
    offset += local.length + encoded.length + bytes.length;
  }
  const count = Object.keys(files).length;
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = numbers([
    [0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [size, 4], [offset, 4], [0, 2],
  ]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// Return numbers of 2 or 4 bytes, little-endian, one after the other.
function numbers(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [, length]) => sum + length, 0));
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const [value, length] of fields) {
    if (length === 2) view.setUint16(offset, value, true);
    else view.setUint32(offset, value, true);
    offset += length;
  }
  return bytes;
}
