// Where to look for faces: the detector's boxes, a drawn box, or around the landmarks of the frame before.

import {largestFirst} from './detections.js';
import {crop, landmarkBox, squareBox} from './geometry.js';

const LOST = 0.8; // of the usual score of a track: below it the face is lost
const MEMORY = 0.98; // share of the past in the usual score, while scores are lower
const GROWTH = 1.8; // most that the box may grow or shrink by from frame to frame
// Squares that are read beside the detector's, which is only about right: shift by sides, scale.
const NEARBY = [[0, 0, 1.12], [0, 0, 1 / 1.12], [0.06, 0, 1], [-0.06, 0, 1], [0, 0.06, 1], [0, -0.06, 1]];
const ROUNDS = 3;
const CANDIDATES = 2; // detected faces that are read, the largest first
const BETTER = 1.005; // how much better the score of another square must be
const SLIGHT = 0.97; // of the usual score: below it other squares are read again ...
const PAUSE = 5; // ... after so many frames, because small errors of the square add up

/**
 * One crop of an image through a model.
 *
 * @param model of openModel.
 * @param image {width, height, data} RGBA.
 * @param square [x0, y0, x1, y1].
 * @return {square, landmarks, scores, score, visibility, covariance, cropping, running}: landmarks flat in image coordinates,
 *     score the mean of the scores, visibility and covariance (xx, xy, yy in pixels squared, flat) null unless the model is
 *     calibrated, the times in ms.
 */
export async function readFace(model, image, square) {
  const size = model.entry.metadata.input_size;
  const start = performance.now();
  const pixels = crop(image, square, size);
  const middle = performance.now();
  const {landmarks, scores, visibility = null, covariance = null} = await model.run(pixels);
  const running = performance.now() - middle;
  const side = square[2] - square[0];
  const placed = Float64Array.from(landmarks, (value, i) => square[i % 2] + value * side);
  const score = scores.reduce((sum, value) => sum + value, 0) / scores.length;
  // A crop is never turned here, so its side alone makes the covariance one of pixels.
  const spread = covariance && Float64Array.from(covariance, (value) => value * side * side);
  return {square, landmarks: placed, scores, score, visibility, covariance: spread, cropping: middle - start, running};
}

/** The squares that a model reads of the faces that are detected in an image, with the detector's scores; the largest first. */
export async function findFaces(model, image, detector) {
  const found = largestFirst(await detector.detect(image));
  return found.map(({box, score}) => ({square: squareBox(box, model.entry.metadata.enlarge), score}));
}

/** Follows the largest face from frame to frame, as kfacealign/tracking.py does. */
export class Tracker {
  constructor(model, detector) {
    this.model = model;
    this.detector = detector;
    this.reset();
  }

  /** Looks in this square, a drawn one, next. */
  reset(square = null) {
    this.square = square;
    this.usual = 0;
    this.frames = 0; // since other squares were read
  }

  /** The face in the next frame as of readFace, or null. */
  async update(image) {
    if (this.square) {
      const read = await readFace(this.model, image, this.square);
      if (this.plausible(read) && read.score >= LOST * this.usual) {
        this.frames += 1;
        if (this.frames > PAUSE && read.score < SLIGHT * this.usual) {
          this.frames = 0;
          return this.follow(await this.lookAround(image, read));
        }
        return this.follow(read);
      }
    }
    this.reset();
    const found = await findFaces(this.model, image, this.detector);
    for (const {square} of found.slice(0, CANDIDATES)) {
      const read = await this.lookAround(image, await readFace(this.model, image, square));
      if (this.plausible(read)) {
        return this.follow(read);
      }
    }
    return null;
  }

  follow(read) {
    this.usual = Math.max(read.score, MEMORY * this.usual + (1 - MEMORY) * read.score);
    this.square = squareBox(landmarkBox(read.landmarks), this.model.entry.metadata.enlarge);
    return read;
  }

  plausible({landmarks, square}) {
    const following = squareBox(landmarkBox(landmarks), this.model.entry.metadata.enlarge);
    const grown = (following[2] - following[0]) / (square[2] - square[0]);
    return Number.isFinite(grown) && grown > 1 / GROWTH && grown < GROWTH;
  }

  async lookAround(image, read) {
    for (let round = 0; round < ROUNDS; round++) {
      const [x0, y0, x1, y1] = read.square;
      const side = x1 - x0;
      let best = read;
      for (const [right, down, scale] of NEARBY) {
        const [x, y, half] = [(x0 + x1) / 2 + right * side, (y0 + y1) / 2 + down * side, (scale * side) / 2];
        const other = await readFace(this.model, image, [x - half, y - half, x + half, y + half]);
        if (other.score > BETTER * best.score && this.plausible(other)) {
          best = other;
        }
      }
      if (best === read) break;
      read = best;
    }
    return read;
  }
}
