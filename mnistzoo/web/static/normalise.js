// From a drawing to an image as MNIST has it, as mnistzoo/pictures does it in Python: all_of() of
// whole.py, thickened() of ink.py, and normalise.py. A test holds both to the same images.

const BOX = 20;
const SIDE = 28;
const LEAST_CONTRAST = 0.1;
const LEAST_INK = 0.06; // of the darkest ink; what differs less from the paper is paper
const COARSE = 14; // pixels of the digit's longer side
const DARKER = 1.6;
const THINNEST = 0.07; // pen, as a part of the digit

// Return { image, box }: 784 bytes, 255 ink, and left, top, right, bottom of the ink in the drawing;
// null if nothing is drawn. Pixels are bytes of gray, row by row; the border is paper.
export function normalised(pixels, width, height) {
  const paper = median(border(pixels, width, height));
  const contrast = Float32Array.from(pixels).map((gray) => Math.abs(gray - paper) / 255);
  const peak = contrast.reduce((a, b) => Math.max(a, b));
  if (peak <= LEAST_CONTRAST) return null;
  const least = Math.fround(Math.fround(LEAST_INK) * peak);
  const ink = contrast.map((value) => (value > least ? value / peak : 0));
  const { digit, box } = cropped({ values: ink, width, height });
  const whole = Math.max(digit.width, digit.height) < COARSE ? refined(digit) : digit;
  return { image: fitted(cropped(thickened(whole)).digit), box };
}

// Return why an image is probably no digit, or not a single one; null if it may well be one. The
// sentences and figures are those of mnistzoo/prediction.py.
export function doubtOf(image, confidence, threshold) {
  const mean = image.reduce((a, b) => a + b) / (255 * SIDE * SIDE);
  if (mean < 0.033) return "there is less ink than any digit has";
  if (mean > 0.305) return "there is more ink than any digit has";
  const mask = Float32Array.from(image, (value) => (value > 127.5 ? 1 : 0));
  const { values, width, height } = cropped({ values: mask, width: SIDE, height: SIDE }).digit;
  if (width > 1.8 * height) return "it is wider than any digit is";
  const outline = border(values, width, height);
  const outlined = outline.reduce((a, b) => a + b) / outline.length;
  if (Math.min(height, width) >= 10 && outlined > 0.55) {
    return "it fills the edges of its box, as no digit does";
  }
  return confidence < threshold ? "the model is unsure" : null;
}

function border(values, width, height) {
  const rows = [0, height - 1].flatMap((y) => Array.from({ length: width }, (_, x) => [x, y]));
  const columns = [0, width - 1].flatMap((x) => Array.from({ length: height }, (_, y) => [x, y]));
  return [...rows, ...columns].map(([x, y]) => values[y * width + x]);
}

function median(numbers) {
  const sorted = numbers.sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Return the part of a digit that has ink, and its box.
function cropped({ values, width, height }) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!values[y * width + x]) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      [top, bottom] = [Math.min(top, y), y + 1];
    }
  }
  const digit = { values: [], width: right - left, height: bottom - top };
  digit.values = new Float32Array(digit.width * digit.height);
  for (let y = top; y < bottom; y++) {
    const row = values.subarray(y * width + left, y * width + right);
    digit.values.set(row, (y - top) * digit.width);
  }
  return { digit, box: [left, top, right, bottom] };
}

// Return ink of pixels wider than a pen as a pen would have drawn it.
function refined({ values, width, height }) {
  const [wide, high] = [width + 2, height + 2];
  const padded = new Float32Array(wide * high);
  for (let y = 0; y < height; y++) {
    padded.set(values.subarray(y * width, (y + 1) * width), (y + 1) * wide + 1);
  }
  const across = resampled(padded, wide, high, 8 * wide);
  const smooth = Float32Array.from(resampled(across, high, 8 * wide, 8 * high));
  const least = Math.fround(2 * LEAST_INK);
  const ink = smooth.map((value) => (value > least ? Math.min(1, DARKER * value) : 0));
  return { values: ink, width: 8 * wide, height: 8 * high };
}

// Return the ink of a thin pen as if the pen were as thin as MNIST's thinnest.
function thickened({ values, width, height }) {
  const mask = values.map((value) => (value > Math.fround(0.4) ? 1 : 0));
  const inked = mask.reduce((a, b) => a + b);
  const stroke = (4 * depthOf(mask, width, height)) / Math.max(1, inked) - 1;
  const missing = roundHalfEven(THINNEST * Math.max(width, height) - stroke);
  if (missing <= 0) return { values, width, height };
  const size = missing + 1;
  const thick = new Float32Array(width * height);
  for (const [dx, dy] of roundPen(size)) {
    for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
      for (let x = Math.max(0, -dx); x < Math.min(width, width - dx); x++) {
        const value = values[(y + dy) * width + x + dx];
        if (value > thick[y * width + x]) thick[y * width + x] = value;
      }
    }
  }
  return { values: thick, width, height };
}

// Return the offsets of a round pen's pixels, as OpenCV's MORPH_ELLIPSE has them.
function roundPen(size) {
  const centre = size >> 1;
  const offsets = [];
  for (let dy = -centre; dy < size - centre; dy++) {
    const half = roundHalfEven(Math.sqrt(centre * centre - dy * dy));
    for (let dx = -half; dx <= Math.min(half, size - centre - 1); dx++) offsets.push([dx, dy]);
  }
  return offsets;
}

// Return the sum of all distances from ink to paper, in the steps of OpenCV's DIST_L2 with a mask of
// 3x3 (Borgefors, Distance transformations in digital images, 1986): 0.955 beside, 1.3693 across.
function depthOf(mask, width, height) {
  const beside = Math.round(0.955 * 65536);
  const across = Math.round(1.3693 * 65536);
  const wide = width + 2;
  const depth = new Float64Array(wide * (height + 2)); // with paper around
  const pass = (start, end, step, back) => {
    for (let y = start; y !== end; y += step) {
      for (let i = 0; i < width; i++) {
        const x = step > 0 ? i : width - 1 - i;
        if (!mask[y * width + x]) continue;
        const at = (y + 1) * wide + x + 1;
        const before = at - step * wide;
        depth[at] = Math.min(
          back ? depth[at] : Infinity,
          depth[at - step] + beside,
          depth[before] + beside,
          depth[before - 1] + across,
          depth[before + 1] + across,
        );
      }
    }
  };
  pass(0, height, 1, false);
  pass(height - 1, -1, -1, true);
  return depth.reduce((a, b) => a + b) / 65536;
}

// Scale a digit to BOX pixels and put its centre of mass into the middle of SIDE x SIDE.
function fitted({ values, width, height }) {
  const scale = BOX / Math.max(width, height);
  const columns = Math.max(1, roundHalfEven(width * scale));
  const rows = Math.max(1, roundHalfEven(height * scale));
  const narrow = resampled(values, width, height, columns); // height x columns, transposed
  const small = resampled(narrow, height, columns, rows).map((value) => Math.max(0, value));
  const peak = small.reduce((a, b) => Math.max(a, b));
  const massOf = (length, other, index) =>
    Array.from({ length }, (_, i) => {
      let sum = 0;
      for (let j = 0; j < other; j++) sum += small[index(i, j)];
      return sum;
    });
  const top = offset(massOf(rows, columns, (y, x) => y * columns + x));
  const left = offset(massOf(columns, rows, (x, y) => y * columns + x));
  const image = new Uint8Array(SIDE * SIDE);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const value = roundHalfEven(255 * (small[y * columns + x] / peak));
      image[(top + y) * SIDE + left + x] = value;
    }
  }
  return image;
}

// Return rows of `length` values each resampled to `size` by Keys's bicubic kernel, a = -0.5, widened
// where it shrinks; transposed, so that twice does both directions.
function resampled(values, length, rows, size) {
  const step = length / size;
  const widen = Math.max(step, 1);
  const result = new Float64Array(size * rows);
  for (let i = 0; i < size; i++) {
    const weights = Array.from({ length }, (_, j) => kernel((j + 0.5 - (i + 0.5) * step) / widen));
    const sum = weights.reduce((a, b) => a + b);
    for (let row = 0; row < rows; row++) {
      let value = 0;
      for (let j = 0; j < length; j++) value += weights[j] * values[row * length + j];
      result[i * rows + row] = value / sum;
    }
  }
  return result;
}

function kernel(distance) {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

// Return where a row or column of masses begins if its centre comes to the image's middle.
function offset(mass) {
  const sum = mass.reduce((a, b) => a + b);
  const centre = mass.reduce((a, b, i) => a + b * i, 0) / sum;
  return Math.min(Math.max(Math.floor(SIDE / 2 - centre + 0.5), 0), SIDE - mass.length);
}

// As Python and NumPy round.
function roundHalfEven(number) {
  const floor = Math.floor(number);
  const rest = number - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? 1 : 0);
}
