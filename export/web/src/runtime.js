// A model file, run by LiteRT.js (.tflite) or ONNX Runtime Web (.onnx) in WebAssembly, whichever the file asks for.

const WASM = new URL('wasm/', document.baseURI).href;
// Phones have slow cores beside the fast ones; more threads than that wait for those.
const THREADS = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
/** What a page with threads fetches beside what one without does. */
export const THREADED = ['wasm/litert_wasm_threaded_internal.js', 'wasm/litert_wasm_threaded_internal.wasm'];

/**
 * Opens a model.
 *
 * @param entry of models/index.json: {file, metadata, ...}.
 * @return {entry, bytes, runtime, run}; run(pixels) takes RGB of one crop, 0..255, and resolves to {landmarks, scores}, flat
 *     Float32Arrays, the landmarks in crop coordinates.
 */
export async function openModel(entry) {
  const response = await fetch(`models/${entry.file}`);
  if (!response.ok) {
    throw new Error(`models/${entry.file}: the server answered ${response.status}`);
  }
  const content = new Uint8Array(await response.arrayBuffer());
  const {input, input_size: size} = entry.metadata;
  const model = await (entry.file.endsWith('.onnx') ? openOnnx : openLiteRT)(content, [1, size, size, 3]);
  const run = (pixels) => model.run(input.dtype === 'uint8' ? new Uint8Array(pixels) : Float32Array.from(pixels));
  return {...model, entry, bytes: content.length, run};
}

async function openLiteRT(content, shape) {
  const {getGlobalLiteRtPromise, loadAndCompile, loadLiteRt, Tensor} = await import('@litertjs/core');
  await (getGlobalLiteRtPromise() ?? loadLiteRt(WASM, {threads: THREADS > 1}));
  const model = await loadAndCompile(content, {accelerator: 'wasm', cpuOptions: {numThreads: THREADS}});

  async function run(pixels) {
    const image = new Tensor(pixels, shape);
    const outputs = await model.run({image});
    const answer = {landmarks: outputs.landmarks.toTypedArray().slice(), scores: outputs.scores.toTypedArray().slice()};
    image.delete();
    Object.values(outputs).forEach((output) => output.delete());
    return answer;
  }
  return {run, runtime: `LiteRT.js, ${threads()}`, close: () => model.delete()};
}

async function openOnnx(content, shape) {
  const {env, InferenceSession, Tensor} = await import('onnxruntime-web/wasm');
  env.wasm.wasmPaths = WASM;
  env.wasm.numThreads = THREADS;
  const session = await InferenceSession.create(content, {executionProviders: ['wasm']});

  async function run(pixels) {
    const type = pixels instanceof Uint8Array ? 'uint8' : 'float32';
    const {landmarks, scores} = await session.run({image: new Tensor(type, pixels, shape)});
    return {landmarks: landmarks.data, scores: scores.data};
  }
  return {run, runtime: `ONNX Runtime Web, ${threads()}`, close: () => session.release()};
}

function threads() {
  return THREADS > 1 ? `${THREADS} threads` : '1 thread';
}
