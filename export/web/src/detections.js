// What face detectors find, as kfacealign/detect/detections.py has it: a list of {box, score}, the boxes landmarks' boxes, brows
// to chin and ear to ear. Numbers are rounded to float32 where Python has them so, since ties decide which face comes first.

const {fround} = Math;

/** The landmarks' box of a detector's box, a `BoxRule`: the same centre but for a shift, sides in longer sides of the box. */
export function landmarksBox({right, down, width, height}, [x0, y0, x1, y1]) {
  const side = Math.max(x1 - x0, y1 - y0);
  const [x, y] = [(x0 + x1) / 2 + side * right, (y0 + y1) / 2 + side * down];
  const [halfWidth, halfHeight] = [(side * width) / 2, (side * height) / 2];
  return [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight].map(fround);
}

/** The faces without those that overlap a better one by this share of the smaller of the two boxes; the best first. */
export function withoutTwins(faces, overlap) {
  const kept = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => shared(face.box, other.box) < overlap)) {
      kept.push(face);
    }
  }
  return kept;
}

/** Area of the intersection of two boxes over the area of the smaller. */
export function shared(first, second) {
  const meeting = (i) => Math.max(0, fround(Math.min(first[i + 2], second[i + 2]) - Math.max(first[i], second[i])));
  const smaller = Math.min(area(first), area(second));
  return smaller > 0 ? fround(fround(meeting(0) * meeting(1)) / smaller) : 0;
}

/** The same faces, the largest first. */
export function largestFirst(faces) {
  const side = ({box: [x0, y0, x1, y1]}) => Math.max(fround(x1 - x0), fround(y1 - y0));
  return [...faces].sort((a, b) => side(b) - side(a));
}

function area([x0, y0, x1, y1]) {
  return fround(fround(x1 - x0) * fround(y1 - y0));
}
