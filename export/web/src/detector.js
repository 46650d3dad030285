// The face detector that prepare.py has put beside the models: BlazeFace, or the cascade where BlazeFace was not installed.

import {BlazeFaceDetector} from './blazeface.js';
import {HaarDetector} from './haar.js';
import {fetchModel, openNetwork} from './runtime.js';

/**
 * Opens the detector.
 *
 * @param facts `detector` of models/index.json.
 * @return {title, detect, milliseconds()}; detect(image) resolves to a list of {box, score}, milliseconds() is how long it took
 *     last, null before.
 */
export async function openDetector(facts) {
  const detector = await (facts.name === 'blazeface' ? openBlazeFace : openHaar)(facts);
  let taken = null;
  async function detect(image) {
    const start = performance.now();
    const found = await detector.detect(image);
    taken = performance.now() - start;
    return found;
  }
  return {title: facts.title, detect, milliseconds: () => taken};
}

async function openBlazeFace(facts) {
  const shape = [1, facts.side, facts.side, 3];
  const network = await openNetwork(facts.file, 'input', shape);
  await network.run(new Float32Array(facts.side * facts.side * 3)); // the first run is slow
  return new BlazeFaceDetector(facts, network.run);
}

async function openHaar(facts) {
  return new HaarDetector(facts, await (await fetchModel(facts.file)).json());
}
