// BlazeFace, the "back" model, used as kfacealign/detect/blazeface.py uses it. The numbers come from there, too: prepare.py
// writes them into models/index.json, where they are `detector` ({side, cells, smallest, min_score, overlap, reach, twins, rule}).

import {landmarksBox, withoutTwins} from './detections.js';
import {crop} from './geometry.js';

const VALUES = 16; // of an anchor: its box's centre and sides, then six points
const LARGEST_LOGIT = 80; // beyond it the score is 0 or 1

/** Finds faces in the whole image and, where they may be small, in overlapping tiles of it. */
export class BlazeFaceDetector {
  /**
   * @param facts `detector` of models/index.json.
   * @param run takes the flat pixels of a square, RGB, -1..1, and resolves to {regressors, classificators}, flat arrays.
   */
  constructor(facts, run) {
    this.facts = facts;
    this.run = run;
    this.anchors = anchorsOf(facts);
  }

  /** The faces in an image {width, height, data} RGBA: a list of {box, score}, the best first. */
  async detect(image) {
    const found = [];
    for (const square of squares(image.width, image.height, this.facts)) {
      found.push(...(await this.look(image, square)));
    }
    return withoutTwins(found, this.facts.twins);
  }

  /** The faces in a square of the image; what lies outside of the image is black. */
  async look(image, square) {
    const pixels = crop(image, square, this.facts.side);
    const outputs = await this.run(Float32Array.from(pixels, (value) => value / 127.5 - 1));
    return withoutTwins(decode(outputs, square, this.anchors, this.facts), this.facts.twins);
  }
}

/** Where the anchors are: centres x, y, x, y, ... as fractions of the square, cell by cell. */
export function anchorsOf({cells}) {
  const centres = [];
  for (const [along, count] of cells) {
    for (let cell = 0; cell < along * along; cell++) {
      const centre = [((cell % along) + 0.5) / along, (Math.floor(cell / along) + 0.5) / along];
      for (let anchor = 0; anchor < count; anchor++) centres.push(...centre);
    }
  }
  return Float64Array.from(centres);
}

/** What the network says of a square, as faces in image coordinates. */
export function decode({regressors, classificators}, [x0, y0, x1, y1], anchors, {side, min_score: least, rule}) {
  const faces = [];
  for (let i = 0; i < classificators.length; i++) {
    const logit = Math.min(LARGEST_LOGIT, Math.max(-LARGEST_LOGIT, classificators[i]));
    const score = 1 / (1 + Math.exp(-logit));
    if (!(score >= least)) continue;
    const [right, down, width, height] = [0, 1, 2, 3].map((value) => regressors[VALUES * i + value] / side);
    const [x, y] = [anchors[2 * i] + right, anchors[2 * i + 1] + down];
    const corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
    const box = corners.map((value, axis) => (axis % 2 ? y0 + value * (y1 - y0) : x0 + value * (x1 - x0)));
    faces.push({box: landmarksBox(rule, box), score: Math.fround(score)});
  }
  return faces;
}

/** The squares that are looked at: one around the whole image, then tiles of half the side, of a quarter ... */
export function squares(width, height, {side: pixels, smallest, overlap, reach}) {
  const longer = Math.max(width, height);
  const found = [squareAt(width / 2, height / 2, longer)];
  for (let side = longer / 2; (side * 2) / longer / reach > smallest && side >= pixels / 2; side /= 2) {
    const across = places(width, side, overlap);
    for (const y of places(height, side, overlap)) {
      found.push(...across.map((x) => squareAt(x, y, side)));
    }
  }
  return found;
}

/** The centres along one axis of tiles that cover a length and overlap by that share of a tile at least. */
function places(length, side, overlap) {
  if (length <= side) return [length / 2];
  const steps = Math.ceil((length - side) / (side * (1 - overlap)) - 1e-9);
  return Array.from({length: steps + 1}, (_, i) => side / 2 + (i / steps) * (length - side));
}

function squareAt(x, y, side) {
  return [x - side / 2, y - side / 2, x + side / 2, y + side / 2];
}
