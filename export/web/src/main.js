import {openDetector} from './detector.js';
import {drawBox, drawFaces} from './draw.js';
import {squareBox} from './geometry.js';
import {openModel, THREADED} from './runtime.js';
import {findFaces, readFace, Tracker} from './tracker.js';
import {listed, told} from './words.js';

const element = (id) => document.getElementById(id);
const canvas = element('canvas');
const context = canvas.getContext('2d', {willReadFrequently: true});
const video = element('video');
const HINT = 'Drag a box round a face, brows to chin, if the detector misses it.';
const SHORTEST_DRAG = 8; // pixels of the picture
const RECENT = 30; // reads that the shown times are medians of

let models; // models/index.json
let detector;
let model; // null while one is loaded
let closing = null; // the model before
let busy = Promise.resolve(); // until nothing reads with a model
let wanted; // the entry of models that was chosen last
let tracker;
let source = ''; // what the faces are of
let image; // the picture shown, without drawings
let faces = [];
let times = {running: [], cropping: [], frame: []};
let stream = null;
let facing = 'user';
let drag = null;
let readings = 0; // of pictures, begun so far: an answer to an earlier one is not shown

// === Models ===

async function start() {
  const response = await fetch('models/index.json');
  if (!response.ok || !response.headers.get('content-type')?.includes('json')) {
    throw new Error('There is no model here yet: python export/web/prepare.py MODEL.tflite puts one here.');
  }
  models = await response.json();
  for (const [place, {title}] of models.models.entries()) {
    element('model').add(new Option(title, place));
  }
  say('Loading the face detector ...');
  detector = await openDetector(models.detector);
  show({detector: detector.title});
  await choose(0);
}

async function choose(place) {
  say('Loading the model ...');
  const entry = models.models[place];
  wanted = entry;
  readings += 1;
  faces = [];
  element('save').disabled = true;
  closing = model ?? closing; // in use until the next one is there
  model = null;
  const opened = await openModel(entry);
  const {metadata} = opened.entry;
  const side = metadata.input_size;
  for (let run = 0; run < 2; run++) {
    await opened.run(new Uint8ClampedArray(side * side * 3)); // the first runs are slow
  }
  await busy;
  if (wanted !== entry) {
    opened.close(); // another one was chosen meanwhile
    return;
  }
  closing?.close();
  closing = null;
  model = opened;
  tracker = new Tracker(model, detector);
  times = {running: [], cropping: [], frame: []};
  show({
    name: `${metadata.model}, ${metadata.precision}`,
    size: `${(model.bytes / 1e6).toFixed(1)} MB`,
    input: `${side} × ${side}`,
    scheme: `${metadata.scheme}, ${metadata.point_names.length} points`,
    runtime: model.runtime,
  });
  if (stream) return;
  if (image) {
    await readPicture();
  } else {
    say('Choose a photo, or turn on the camera.');
  }
}

// === Photographs ===

async function openPhoto(file) {
  stopCamera();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {imageOrientation: 'from-image'}); // upright, as EXIF says
  } catch {
    say(`${file.name} is not a picture that this browser reads.`, true);
    return;
  }
  resize(bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  image = context.getImageData(0, 0, canvas.width, canvas.height);
  source = file.name;
  faces = [];
  await readPicture();
}

/** Shows the detected faces of the picture, or the one in a drawn box. */
async function readPicture(box = null) {
  if (!model) return;
  const reading = ++readings;
  say('Looking for faces ...');
  const read = await use(readFaces(model, image, box, () => reading === readings));
  if (reading !== readings) return;
  faces = read.map(timed);
  drawFaces(canvas, image, faces, model.entry.segments);
  report();
  const scores = faces.map((face) => face.score);
  say(faces.length ? `${told(scores)}. ${HINT}` : 'No face found. Drag a box round one, brows to chin.', !faces.length);
}

async function readFaces(reader, picture, box, asked) {
  const drawn = box && [{square: squareBox(box, reader.entry.metadata.enlarge), score: null}];
  const read = [];
  for (const {square, score} of drawn ?? (await findFaces(reader, picture, detector))) {
    if (!asked()) break;
    read.push({...(await readFace(reader, picture, square)), detectorScore: score});
  }
  return read;
}

/** Waits for work with a model, which is not closed meanwhile. */
function use(work) {
  busy = work.catch(() => {});
  return work;
}

// === Camera ===

async function startCamera() {
  stopCamera();
  try {
    const size = {width: {ideal: 640}, height: {ideal: 480}};
    stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: facing, ...size}, audio: false});
  } catch (error) {
    say(`The camera cannot be used: ${error.message || error.name}.`, true);
    return;
  }
  readings += 1;
  video.srcObject = stream;
  await video.play();
  const settings = stream.getVideoTracks()[0].getSettings();
  canvas.classList.toggle('mirrored', settings.facingMode !== 'environment');
  element('camera').setAttribute('aria-pressed', 'true');
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({kind}) => kind === 'videoinput');
  element('flip').hidden = cameras.length < 2;
  source = 'camera';
  tracker?.reset();
  times = {running: [], cropping: [], frame: []};
  nextFrame(stream).catch(fail);
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  canvas.classList.remove('mirrored');
  element('camera').setAttribute('aria-pressed', 'false');
  element('flip').hidden = true;
  show({fps: ''});
}

async function nextFrame(ofStream, last = 0) {
  if (stream !== ofStream) return;
  const now = performance.now();
  if (model && video.readyState >= 2 && !drag) {
    resize(video.videoWidth, video.videoHeight);
    context.drawImage(video, 0, 0);
    image = context.getImageData(0, 0, canvas.width, canvas.height);
    const reader = model;
    const face = await use(tracker.update(image));
    if (stream !== ofStream) return;
    if (model === reader) {
      if (last) remember('frame', now - last);
      showFrame(face);
    }
  }
  // Not requestVideoFrameCallback: a frame that has been missed is no reason to wait for the next.
  requestAnimationFrame(() => nextFrame(ofStream, now).catch(fail));
}

function showFrame(face) {
  faces = face ? [timed(face)] : [];
  drawFaces(canvas, image, faces, model.entry.segments);
  report();
  show({fps: times.frame.length ? `${(1000 / median(times.frame)).toFixed(0)} fps` : ''});
  say(face ? 'Following the face.' : 'No face found. Look into the camera, or drag a box round the face.');
}

// === A drawn box ===

function place(event) {
  const shown = canvas.getBoundingClientRect();
  let x = (event.clientX - shown.left) / shown.width;
  if (canvas.classList.contains('mirrored')) x = 1 - x;
  return [x * canvas.width, ((event.clientY - shown.top) / shown.height) * canvas.height];
}

canvas.addEventListener('pointerdown', (event) => {
  if (!image || !model) return;
  canvas.setPointerCapture(event.pointerId);
  drag = {from: place(event), to: place(event)};
});
canvas.addEventListener('pointermove', (event) => {
  if (!drag) return;
  drag.to = place(event);
  context.putImageData(image, 0, 0);
  context.lineWidth = Math.max(2, canvas.width / 320);
  drawBox(context, boxOf(drag), '#ffd166');
});
canvas.addEventListener('pointercancel', () => (drag = null));
canvas.addEventListener('pointerup', () => {
  if (!drag) return;
  const box = boxOf(drag);
  drag = null;
  if (Math.max(box[2] - box[0], box[3] - box[1]) < SHORTEST_DRAG) {
    drawFaces(canvas, image, faces, model.entry.segments);
  } else if (stream) {
    tracker.reset(squareBox(box, model.entry.metadata.enlarge));
  } else {
    readPicture(box).catch(fail);
  }
});

function boxOf({from, to}) {
  return [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
}

// === What is shown ===

function resize(width, height) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
    // As large as the window allows, small pictures too.
    canvas.style.width = `min(100%, ${(72 * width) / height}vh)`;
  }
}

function timed(face) {
  remember('running', face.running);
  remember('cropping', face.cropping);
  return face;
}

function remember(name, milliseconds) {
  times[name] = [...times[name], milliseconds].slice(-RECENT);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function report() {
  const milliseconds = (values) => (values.length ? `${median(values).toFixed(1)} ms` : '');
  const detecting = detector.milliseconds();
  show({
    running: milliseconds(times.running),
    cropping: milliseconds(times.cropping),
    detecting: detecting === null ? '' : `${detecting.toFixed(0)} ms`,
    count: String(faces.length),
    score: listed(faces.map((face) => face.score)),
  });
  element('save').disabled = !faces.length;
}

function show(texts) {
  for (const [id, text] of Object.entries(texts)) {
    element(id).textContent = text;
  }
}

function say(text, wrong = false) {
  element('message').textContent = text;
  element('message').classList.toggle('wrong', wrong);
}

function fail(error) {
  console.error(error);
  // A script that cannot be fetched fails with an event instead of an error.
  say(error instanceof Event ? 'A part of the page cannot be fetched.' : String(error?.message ?? error), true);
}

/** The faces as `kfacealign align` writes them. */
function result() {
  const {scheme, point_names: names} = model.entry.metadata;
  const threes = (flat) => Array.from({length: flat.length / 3}, (_, i) => Array.from(flat.slice(3 * i, 3 * i + 3)));
  const pairs = (flat) => Array.from({length: flat.length / 2}, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
  return {
    photo: source,
    width: canvas.width,
    height: canvas.height,
    scheme,
    point_names: names,
    coordinates: models.coordinates,
    align: 'box',
    faces: faces.map(({square, landmarks, scores, score, visibility, covariance, detectorScore = null}) => ({
      box: square,
      landmarks: pairs(landmarks),
      scores: Array.from(scores),
      mean_score: score,
      detector_score: detectorScore,
      ...(visibility && {visibility: Array.from(visibility)}),
      ...(covariance && {covariance: threes(covariance)}),
    })),
  };
}

function save() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([JSON.stringify(result(), null, 1)], {type: 'application/json'}));
  link.download = `${source.replace(/\.[^.]*$/, '')}_landmarks.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// === Without a network ===

async function keepForOffline() {
  if (!('serviceWorker' in navigator)) return;
  await navigator.serviceWorker.register('sw.js');
  const {active} = await navigator.serviceWorker.ready;
  const fetched = performance.getEntriesByType('resource').map(({name}) => name);
  const own = fetched.filter((name) => new URL(name).origin === location.origin && !name.endsWith('/sw.js'));
  // From the next visit on the worker makes threads possible, if the server does not.
  const later = crossOriginIsolated ? [] : THREADED.map((name) => new URL(name, document.baseURI).href);
  active.postMessage([document.baseURI, ...new Set([...own, ...later])]);
}

element('photo').addEventListener('change', ({target}) => {
  const [file] = target.files;
  target.value = ''; // the same file can be chosen again
  if (file) openPhoto(file).catch(fail);
});
element('camera').addEventListener('click', () => {
  if (stream) {
    stopCamera();
    say('');
  } else {
    startCamera().catch(fail);
  }
});
element('flip').addEventListener('click', () => {
  facing = facing === 'user' ? 'environment' : 'user';
  startCamera().catch(fail);
});
element('model').addEventListener('change', ({target}) => choose(Number(target.value)).catch(fail));
element('save').addEventListener('click', save);

// For the console, and for the test of this page.
globalThis.kfacealign = {result};

start().then(keepForOffline).catch(fail);
