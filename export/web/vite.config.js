import {defaultClientConditions, defineConfig} from 'vite';

// Threads of WebAssembly need shared memory, which browsers grant to pages that are cut off from other origins.
const headers = {'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp'};

export default defineConfig({
  base: './', // the page works in any folder of a server
  build: {target: 'es2022', chunkSizeWarningLimit: 1000},
  preview: {headers},
  // ONNX Runtime without its WebAssembly inside the script: it is in public/wasm.
  resolve: {conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions]},
});
