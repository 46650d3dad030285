import {landmarkBox} from './geometry.js';

const COLOUR = '#38f0b4';
// A dot's radius: a share of the face, as in kfacealign/drawing.py; in pixels of the screen at least; of the face at most.
const [USUAL, LEAST, MOST] = [1 / 130, 1, 1 / 50];
const HIDDEN = 0.5; // probability of being seen below which a point is a ring
const GAUSSIAN = Math.sqrt(-2 * Math.log(0.1)); // standard deviations of the ellipse that holds 90 %
const LINE = 0.7; // width of a line over a dot's radius

/**
 * How large a face's dots and lines are drawn, in pixels of the picture.
 *
 * @param landmarks flat, in image coordinates.
 * @param shown pixels of the picture to one of the screen.
 */
export function strokes(landmarks, shown) {
  const [x0, y0, x1, y1] = landmarkBox(landmarks);
  const extent = Math.max(x1 - x0, y1 - y0);
  const radius = Math.max(USUAL * extent, Math.min(LEAST * shown, MOST * extent));
  return {radius, line: LINE * radius};
}

/** An image and its faces on a canvas of the image's size. */
export function drawFaces(canvas, image, faces, segments) {
  const context = canvas.getContext('2d');
  context.putImageData(image, 0, 0);
  const shown = canvas.width / canvas.clientWidth;
  for (const {landmarks, square, visibility, covariance} of faces) {
    const {radius, line} = strokes(landmarks, shown);
    context.lineWidth = line;
    drawBox(context, square, 'rgba(255, 255, 255, 0.35)');
    context.strokeStyle = 'rgba(56, 240, 180, 0.65)';
    context.beginPath();
    for (const [from, to] of segments) {
      context.moveTo(landmarks[2 * from], landmarks[2 * from + 1]);
      context.lineTo(landmarks[2 * to], landmarks[2 * to + 1]);
    }
    context.stroke();
    context.fillStyle = COLOUR;
    for (let i = 0; i < landmarks.length; i += 2) {
      context.beginPath();
      context.arc(landmarks[i], landmarks[i + 1], radius, 0, 2 * Math.PI);
      if (visibility && visibility[i / 2] < HIDDEN) {
        context.stroke();
      } else {
        context.fill();
      }
      if (covariance) {
        const {major, minor, angle} = ellipse(covariance.slice((3 * i) / 2, (3 * i) / 2 + 3));
        context.beginPath();
        context.ellipse(landmarks[i], landmarks[i + 1], major, minor, angle, 0, 2 * Math.PI);
        context.stroke();
      }
    }
  }
}

/**
 * The ellipse in which a point lies with a probability of 90 %.
 *
 * @param covariance [xx, xy, yy].
 * @return {major, minor, angle}: half its axes, and the angle of the longer one from x towards y.
 */
export function ellipse([xx, xy, yy]) {
  const middle = (xx + yy) / 2;
  const apart = Math.hypot((xx - yy) / 2, xy);
  const [major, minor] = [middle + apart, Math.max(middle - apart, 0)].map((value) => GAUSSIAN * Math.sqrt(value));
  return {major, minor, angle: Math.atan2(2 * xy, xx - yy) / 2};
}

/** A box on a canvas. */
export function drawBox(context, [x0, y0, x1, y1], colour) {
  context.strokeStyle = colour;
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
}
