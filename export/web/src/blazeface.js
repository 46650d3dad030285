// BlazeFace, the "back" model, used as kfacealign/detect/blazeface.py uses it. The numbers come from there, too: prepare.py
// writes them into models/index.json, where they are `detector` ({side, cells, smallest, min_score, hint, overlap, reach,
// twins, rule}).

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
    const levels = squares(image.width, image.height, this.facts);
    let hints = [];
    for (const [level, tiles] of levels.entries()) {
      const finest = level > 0 && level === levels.length - 1;
      const looks = [];
      for (const tile of finest ? hinted(tiles, hints, this.facts.overlap) : tiles) looks.push(await this.look(image, tile));
      found.push(...looks.flatMap((look) => look.faces));
      hints = looks.flatMap((look) => look.hints);
    }
    return withoutTwins(found, this.facts.twins);
  }

  /** The faces in a square of the image, outside of which all is black, and what else may be a face. */
  async look(image, square) {
    const pixels = crop(image, square, this.facts.side);
    const outputs = await this.run(Float32Array.from(pixels, (value) => value / 127.5 - 1));
    const seen = withoutTwins(decode(outputs, square, this.anchors, this.facts), this.facts.twins);
    const sure = ({score}) => score >= this.facts.min_score;
    return {faces: seen.filter(sure), hints: seen.filter((face) => !sure(face))};
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

/** What the network says of a square, as faces and hints of faces in image coordinates. */
export function decode({regressors, classificators}, [x0, y0, x1, y1], anchors, {side, hint: least, rule}) {
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

/** The squares to look at, level by level: one around the whole image, then 2 tiles along the longer side, then 4 ... */
export function squares(width, height, {side: pixels, smallest, overlap, reach}) {
  const longer = Math.max(width, height);
  const levels = [[squareAt(width / 2, height / 2, longer)]];
  let side = longer;
  for (let count = 2; side / longer / reach > smallest && longer / count >= pixels / 2; count *= 2) {
    side = longer / (count - (count - 1) * overlap);
    const across = places(width, side, overlap);
    levels.push(places(height, side, overlap).flatMap((y) => across.map((x) => squareAt(x, y, side))));
  }
  return levels;
}

/** Those of the tiles whose centre is the nearest to that of a hint, unless it is larger than what two tiles share. */
export function hinted(tiles, hints, overlap) {
  const largest = (tiles[0][2] - tiles[0][0]) * overlap;
  const centre = ([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2];
  const nearest = hints
    .map(({box}) => box)
    .filter(([x0, y0, x1, y1]) => Math.max(x1 - x0, y1 - y0) <= largest)
    .map((box) => {
      const [x, y] = centre(box);
      const apart = tiles.map(centre).map((its) => Math.max(Math.abs(its[0] - x), Math.abs(its[1] - y)));
      return apart.indexOf(Math.min(...apart));
    });
  return tiles.filter((_, index) => nearest.includes(index));
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
