const COLOUR = '#38f0b4';

/** An image and its faces on a canvas of the image's size. */
export function drawFaces(canvas, image, faces, segments) {
  const context = canvas.getContext('2d');
  context.putImageData(image, 0, 0);
  const shown = canvas.width / canvas.clientWidth; // pixels of the picture to one of the screen
  for (const {landmarks, square} of faces) {
    const side = square[2] - square[0];
    context.lineWidth = Math.max(shown, side / 220);
    drawBox(context, square, 'rgba(255, 255, 255, 0.35)');
    context.strokeStyle = 'rgba(56, 240, 180, 0.65)';
    context.beginPath();
    for (const [from, to] of segments) {
      context.moveTo(landmarks[2 * from], landmarks[2 * from + 1]);
      context.lineTo(landmarks[2 * to], landmarks[2 * to + 1]);
    }
    context.stroke();
    context.fillStyle = COLOUR;
    const radius = Math.max(1.5 * shown, side / 130);
    for (let i = 0; i < landmarks.length; i += 2) {
      context.beginPath();
      context.arc(landmarks[i], landmarks[i + 1], radius, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

/** A box on a canvas. */
export function drawBox(context, [x0, y0, x1, y1], colour) {
  context.strokeStyle = colour;
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
}
