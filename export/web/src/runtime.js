// Model files, run by LiteRT.js (.tflite) or ONNX Runtime Web (.onnx) in WebAssembly, as the file's name says.

const WASM = new URL('wasm/', document.baseURI).href;
// Phones have slow cores beside the fast ones; more threads than that wait for those.
const THREADS = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
/** What a page with threads fetches beside what one without does. */
export const THREADED = ['wasm/litert_wasm_threaded_internal.js', 'wasm/litert_wasm_threaded_internal.wasm'];

/** The response with a file of the models' folder. */
export async function fetchModel(file) {
  const response = await fetch(`models/${file}`);
  if (!response.ok) {
    throw new Error(`models/${file}: the server answered ${response.status}`);
  }
  return response;
}

/**
 * Opens an exported model.
 *
 * @param entry of models/index.json: {file, metadata, ...}.
 * @return {entry, bytes, runtime, run, close}; run(pixels) takes RGB of one crop, 0..255, and resolves to {landmarks, scores},
 *     flat Float32Arrays, the landmarks in crop coordinates.
 */
export async function openModel(entry) {
  const {input, input_size: size} = entry.metadata;
  const network = await openNetwork(entry.file, 'image', [1, size, size, 3]);
  const run = (pixels) => network.run(input.dtype === 'uint8' ? new Uint8Array(pixels) : Float32Array.from(pixels));
  return {...network, entry, run};
}

/**
 * Opens any network with one input.
 *
 * @param file name in the models' folder.
 * @param input name of the input.
 * @param shape of the input.
 * @return {bytes, runtime, run, close}; run(values) takes a flat array and resolves to {name: flat Float32Array} of the outputs.
 */
export async function openNetwork(file, input, shape) {
  const content = new Uint8Array(await (await fetchModel(file)).arrayBuffer());
  const network = await (file.endsWith('.onnx') ? openOnnx : openLiteRT)(content, input, shape);
  return {...network, bytes: content.length};
}

async function openLiteRT(content, input, shape) {
  const {getGlobalLiteRtPromise, loadAndCompile, loadLiteRt, Tensor} = await import('@litertjs/core');
  await (getGlobalLiteRtPromise() ?? loadLiteRt(WASM, {threads: THREADS > 1}));
  const model = await loadAndCompile(content, {accelerator: 'wasm', cpuOptions: {numThreads: THREADS}});

  async function run(values) {
    const tensor = new Tensor(values, shape);
    const outputs = Object.entries(await model.run({[input]: tensor}));
    const answer = Object.fromEntries(outputs.map(([name, output]) => [name, output.toTypedArray().slice()]));
    tensor.delete();
    outputs.forEach(([, output]) => output.delete());
    return answer;
  }
  return {run, runtime: `LiteRT.js, ${threads()}`, close: () => model.delete()};
}

async function openOnnx(content, input, shape) {
  const {env, InferenceSession, Tensor} = await import('onnxruntime-web/wasm');
  env.wasm.wasmPaths = WASM;
  env.wasm.numThreads = THREADS;
  const session = await InferenceSession.create(content, {executionProviders: ['wasm']});

  async function run(values) {
    const type = values instanceof Uint8Array ? 'uint8' : 'float32';
    const outputs = await session.run({[input]: new Tensor(type, values, shape)});
    return Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, output.data]));
  }
  return {run, runtime: `ONNX Runtime Web, ${threads()}`, close: () => session.release()};
}

function threads() {
  return THREADS > 1 ? `${THREADS} threads` : '1 thread';
}
