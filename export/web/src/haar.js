// The Viola-Jones face detector with the cascade that comes with OpenCV, for pages that were prepared without BlazeFace.

import {landmarksBox, withoutTwins} from './detections.js';
import {reduce} from './geometry.js';

const LONGEST_SIDE = 400; // the image is reduced to this
const SMALLEST = 1 / 10; // smallest face, of the shorter side
const FACTOR = 1.1; // from one size of faces to the next
const NEIGHBOURS = 3; // windows that make a face
const SIMILAR = 0.2; // difference of their edges, of their size

/**
 * A cascade in flat arrays, which are quick to walk through.
 *
 * @param cascade of models/face.json: {size, stages: [{threshold, trees: [[feature, threshold, below, above]]}], features:
 *     [[x, y, width, height, weight] ...]}.
 */
export function compile({size, stages, features}) {
  const trees = stages.flatMap((stage) => stage.trees);
  const rects = trees.flatMap(([feature]) => features[feature]);
  let [tree, rect] = [0, 0];
  return {
    size,
    thresholds: Float64Array.from(stages, (stage) => stage.threshold),
    treeEnds: Int32Array.from(stages, (stage) => (tree += stage.trees.length)),
    limits: Float64Array.from(trees, ([, limit]) => limit),
    below: Float64Array.from(trees, ([, , below]) => below),
    above: Float64Array.from(trees, ([, , , above]) => above),
    rectEnds: Int32Array.from(trees, ([feature]) => (rect += features[feature].length)),
    rects: Int32Array.from(rects.flatMap(([x, y, width, height]) => [x, y, width, height])),
    weights: Float64Array.from(rects, ([, , , , weight]) => weight),
  };
}

/** Finds faces seen from the front. */
export class HaarDetector {
  /**
   * @param facts `detector` of models/index.json: {rule, twins}.
   * @param cascade of models/face.json.
   */
  constructor({rule, twins}, cascade) {
    Object.assign(this, {rule, twins, cascade: compile(cascade)});
  }

  /** The faces in an image {width, height, data} RGBA: a list of {box, score}, the best first. */
  async detect(image) {
    const faces = detectFaces(image, this.cascade).map(({square, count}) => ({
      box: landmarksBox(this.rule, square),
      score: Math.fround(1 - 2 ** (-count / NEIGHBOURS)),
    }));
    return withoutTwins(faces, this.twins);
  }
}

/**
 * What the cascade takes for faces, the largest first.
 *
 * @param image {width, height, data} RGBA.
 * @param cascade of compile.
 * @return list of {square, count}: [x0, y0, x1, y1] in image coordinates, from the forehead to below the mouth, and how many
 *     windows made it.
 */
export function detectFaces(image, cascade) {
  const grey = toGrey(image, Math.max(1, Math.max(image.width, image.height) / LONGEST_SIDE));
  const shorter = Math.min(grey.width, grey.height);
  const windows = [];
  for (let side = cascade.size; side <= shorter; side *= FACTOR) {
    if (side >= SMALLEST * shorter) {
      search(grey, cascade, side / cascade.size, windows);
    }
  }
  const faces = group(windows).filter((face) => face.count >= NEIGHBOURS);
  const scale = image.width / grey.width;
  return faces
    .sort((a, b) => b.side - a.side)
    .map(({x, y, side, count}) => ({square: [x, y, x + side, y + side].map((value) => value * scale), count}));
}

function toGrey(image, reduction) {
  const {data, width, height} = reduce(image, [0, 0, image.width, image.height], reduction);
  const grey = new Float32Array(width * height);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];
  }
  return {grey, width, height};
}

/** Adds the windows of one size in which the cascade sees a face; the image is reduced so that they have the cascade's size. */
function search({grey, width, height}, cascade, scale, windows) {
  const small = shrink(grey, width, height, scale);
  const {sums, squares} = integrals(small);
  const step = scale > 2 ? 1 : 2;
  const stride = small.width + 1;
  const {size} = cascade;
  const inner = (size - 2) ** 2;
  const corners = cornersOf(cascade.rects, stride);
  for (let y = 0; y + size <= small.height; y += step) {
    for (let x = 0; x + size <= small.width; x += step) {
      const sum = area(sums, stride, x + 1, y + 1, size - 2, size - 2);
      const deviation = inner * area(squares, stride, x + 1, y + 1, size - 2, size - 2) - sum * sum;
      if (isFace(cascade, corners, sums, y * stride + x, deviation > 0 ? Math.sqrt(deviation) : 1)) {
        windows.push({x: x * scale, y: y * scale, side: size * scale});
      }
    }
  }
}

/** Where in a table of sums the four corners of each rectangle are, from where its window begins. */
function cornersOf(rects, stride) {
  const corners = new Int32Array(rects.length);
  for (let i = 0; i < rects.length; i += 4) {
    corners[i] = rects[i + 1] * stride + rects[i];
    corners[i + 1] = corners[i] + rects[i + 2];
    corners[i + 2] = corners[i] + rects[i + 3] * stride;
    corners[i + 3] = corners[i + 2] + rects[i + 2];
  }
  return corners;
}

function isFace({thresholds, treeEnds, limits, below, above, rectEnds, weights}, corners, sums, start, deviation) {
  let tree = 0;
  let rect = 0;
  for (let stage = 0; stage < thresholds.length; stage++) {
    let votes = 0;
    for (; tree < treeEnds[stage]; tree++) {
      let value = 0;
      for (; rect < rectEnds[tree]; rect++) {
        const i = 4 * rect;
        const lower = sums[start + corners[i + 3]] - sums[start + corners[i + 2]];
        value += weights[rect] * (lower - sums[start + corners[i + 1]] + sums[start + corners[i]]);
      }
      votes += value < limits[tree] * deviation ? below[tree] : above[tree];
    }
    if (votes < thresholds[stage]) {
      return false;
    }
  }
  return true;
}

function area(table, stride, x, y, width, height) {
  const top = y * stride + x;
  const bottom = top + height * stride;
  return table[bottom + width] - table[bottom] - table[top + width] + table[top];
}

function integrals({grey, width, height}) {
  const stride = width + 1;
  const sums = new Float64Array(stride * (height + 1));
  const squares = new Float64Array(sums.length);
  for (let y = 0; y < height; y++) {
    let [sum, square] = [0, 0];
    for (let x = 0; x < width; x++) {
      const value = grey[y * width + x];
      sum += value;
      square += value * value;
      sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + sum;
      squares[(y + 1) * stride + x + 1] = squares[y * stride + x + 1] + square;
    }
  }
  return {sums, squares};
}

/** Bilinear, as OpenCV's detector does it. */
function shrink(grey, width, height, scale) {
  const [newWidth, newHeight] = [Math.round(width / scale), Math.round(height / scale)];
  const [scaleX, scaleY] = [width / newWidth, height / newHeight];
  const result = new Float32Array(newWidth * newHeight);
  for (let y = 0; y < newHeight; y++) {
    const [top, down, bottom] = between((y + 0.5) * scaleY - 0.5, height);
    for (let x = 0; x < newWidth; x++) {
      const [left, right, last] = between((x + 0.5) * scaleX - 0.5, width);
      const upper = grey[top * width + left] * (1 - right) + grey[top * width + last] * right;
      const lower = grey[bottom * width + left] * (1 - right) + grey[bottom * width + last] * right;
      result[y * newWidth + x] = Math.round(upper * (1 - down) + lower * down);
    }
  }
  return {grey: result, width: newWidth, height: newHeight};
}

function between(place, limit) {
  const first = Math.min(limit - 1, Math.max(0, Math.floor(place)));
  return [first, Math.min(1, Math.max(0, place - first)), Math.min(limit - 1, first + 1)];
}

/** Windows that lie on each other, as their means with how many they are; what is inside of a larger face is none. */
function group(windows) {
  const groups = [];
  for (const window of windows) {
    const near = groups.filter((members) => members.some((other) => similar(window, other)));
    const joined = [window, ...near.flat()];
    groups.splice(0, groups.length, ...groups.filter((members) => !near.includes(members)), joined);
  }
  const mean = (members, key) => members.reduce((sum, window) => sum + window[key], 0) / members.length;
  const faces = groups.map((members) => ({
    x: mean(members, 'x'),
    y: mean(members, 'y'),
    side: mean(members, 'side'),
    count: members.length,
  }));
  return faces.filter((face) => !faces.some((other) => other.count > face.count && centreInside(face, other)));
}

function similar(a, b) {
  const most = SIMILAR * Math.min(a.side, b.side);
  const differences = [a.x - b.x, a.y - b.y, a.x + a.side - b.x - b.side, a.y + a.side - b.y - b.side];
  return differences.every((difference) => Math.abs(difference) <= most);
}

function centreInside(face, other) {
  const [x, y] = [face.x + face.side / 2, face.y + face.side / 2];
  return x > other.x && x < other.x + other.side && y > other.y && y < other.y + other.side;
}
