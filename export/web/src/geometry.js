// Boxes and crops, as kfacealign/geometry.py has them: image coordinates with their origin at the outer top-left corner,
// so that the centre of the first pixel is (0.5, 0.5). A box is [x0, y0, x1, y1].

// The source is reduced to no less than this many pixels per crop pixel before it is sampled.
const OVERSAMPLING = 2;
// OpenCV samples at these parts of a pixel; with others the crops would not be those of Python.
const GRID = 32;

/** The smallest box around points, a flat array x, y, x, y, ... */
export function landmarkBox(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    box[0] = Math.min(box[0], points[i]);
    box[1] = Math.min(box[1], points[i + 1]);
    box[2] = Math.max(box[2], points[i]);
    box[3] = Math.max(box[3], points[i + 1]);
  }
  return box;
}

/** The square of the box's longer side times `enlarge`, around its centre. */
export function squareBox([x0, y0, x1, y1], enlarge) {
  const half = (Math.max(x1 - x0, y1 - y0) * enlarge) / 2;
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return [x - half, y - half, x + half, y + half];
}

/**
 * A square of an image as pixels of the size that a model reads: bilinear when enlarging, averaged when shrinking, black
 * outside of the image.
 *
 * @param image {width, height, data} RGBA, as of ImageData.
 * @param square [x0, y0, x1, y1] of equal width and height.
 * @param size side of the crop in pixels.
 * @return Uint8ClampedArray of size * size * 3, RGB.
 */
export function crop(image, square, size) {
  let source = image;
  let [x0, y0, x1, y1] = square;
  const reduction = Math.floor((x1 - x0) / size / OVERSAMPLING);
  if (reduction >= 2) {
    const cut = reduce(image, square, reduction);
    source = cut;
    [x0, x1] = [x0, x1].map((x) => (x - cut.left) / cut.scaleX);
    [y0, y1] = [y0, y1].map((y) => (y - cut.top) / cut.scaleY);
  }
  const fine = Math.max(1, Math.ceil(Math.max(x1 - x0, y1 - y0) / size - 1e-6));
  const columns = samples(x0, (x1 - x0) / (size * fine), size * fine, source.width);
  const rows = samples(y0, (y1 - y0) / (size * fine), size * fine, source.height);
  const sums = new Float64Array(size * size * 3);
  for (let v = 0; v < size * fine; v++) {
    const to = 3 * size * Math.floor(v / fine);
    const row = 4 * source.width * rows.pixels[v];
    if (rows.before[v]) addSamples(sums, to, fine, source.data, row, columns, rows.before[v]);
    if (rows.after[v]) addSamples(sums, to, fine, source.data, row + 4 * source.width, columns, rows.after[v]);
  }
  const pixels = new Uint8ClampedArray(sums.length);
  for (let i = 0; i < sums.length; i++) {
    pixels[i] = sums[i] / (fine * fine);
  }
  return pixels;
}

/** Along one axis: for each sample the pixel before it, and the shares of that one and of the next, 0 outside of the image. */
function samples(start, step, count, limit) {
  const [pixels, before, after] = [new Int32Array(count), new Float64Array(count), new Float64Array(count)];
  for (let i = 0; i < count; i++) {
    const place = Math.round((start + (i + 0.5) * step - 0.5) * GRID) / GRID;
    const pixel = Math.floor(place);
    pixels[i] = pixel;
    before[i] = pixel >= 0 && pixel < limit ? 1 - (place - pixel) : 0;
    after[i] = pixel + 1 >= 0 && pixel + 1 < limit ? place - pixel : 0;
  }
  return {pixels, before, after};
}

/** Adds a row of samples, `fine` to a pixel of the crop. */
function addSamples(sums, to, fine, data, row, {pixels, before, after}, weight) {
  for (let u = 0; u < pixels.length; u++) {
    const target = to + 3 * Math.floor(u / fine);
    const from = row + 4 * pixels[u];
    for (let channel = 0; channel < 3; channel++) {
      let value = 0;
      if (before[u]) value += before[u] * data[from + channel];
      if (after[u]) value += after[u] * data[from + 4 + channel];
      sums[target + channel] += weight * value;
    }
  }
}

/** The part of an image under a square, about `reduction` times smaller, each pixel the mean of those it covers. */
export function reduce(image, [x0, y0, x1, y1], reduction) {
  const [left, right] = range(x0, x1, 2 * reduction, image.width);
  const [top, bottom] = range(y0, y1, 2 * reduction, image.height);
  if (right <= left || bottom <= top) {
    return {data: new Float32Array(4), width: 1, height: 1, left: Infinity, top: Infinity, scaleX: 1, scaleY: 1};
  }
  const width = Math.max(1, Math.round((right - left) / reduction));
  const height = Math.max(1, Math.round((bottom - top) / reduction));
  const [scaleX, scaleY] = [(right - left) / width, (bottom - top) / height];
  const rows = covered(top, scaleY, height, bottom);
  const columns = covered(left, scaleX, width, right);
  const data = new Float32Array(4 * width * height);
  for (let v = 0; v < height; v++) {
    for (let i = rows.starts[v]; i < rows.starts[v + 1]; i++) {
      addRow(data, 4 * v * width, image.data, 4 * rows.pixels[i] * image.width, columns, rows.shares[i]);
    }
  }
  return {data, width, height, left, top, scaleX, scaleY};
}

function addRow(data, to, source, from, {starts, pixels, shares}, weight) {
  for (let u = 0; u + 1 < starts.length; u++) {
    for (let i = starts[u]; i < starts[u + 1]; i++) {
      const pixel = from + 4 * pixels[i];
      const share = weight * shares[i];
      data[to + 4 * u] += share * source[pixel];
      data[to + 4 * u + 1] += share * source[pixel + 1];
      data[to + 4 * u + 2] += share * source[pixel + 2];
    }
  }
}

function range(from, to, margin, limit) {
  return [Math.min(limit, Math.max(0, Math.floor(from - margin))), Math.min(limit, Math.max(0, Math.ceil(to + margin)))];
}

/** The pixels under each of `count` stretches of length `scale`, from starts[n] to starts[n + 1], and their shares of it. */
function covered(start, scale, count, end) {
  const [starts, pixels, shares] = [[0], [], []];
  for (let i = 0; i < count; i++) {
    const from = start + i * scale;
    const to = Math.min(end, from + scale);
    for (let pixel = Math.floor(from); pixel < to - 1e-9; pixel++) {
      pixels.push(pixel);
      shares.push((Math.min(to, pixel + 1) - Math.max(from, pixel)) / scale);
    }
    starts.push(pixels.length);
  }
  return {starts: Int32Array.from(starts), pixels: Int32Array.from(pixels), shares: Float64Array.from(shares)};
}
