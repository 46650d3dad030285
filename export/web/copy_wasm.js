// Puts the runtimes' WebAssembly where the page serves it from, under the names that the runtimes look for.
import {copyFileSync, mkdirSync} from 'node:fs';

const FILES = {
  'node_modules/@litertjs/core/wasm': [
    'litert_wasm_internal.js',
    'litert_wasm_internal.wasm',
    'litert_wasm_threaded_internal.js',
    'litert_wasm_threaded_internal.wasm',
    'litert_wasm_compat_internal.js', // browsers without relaxed SIMD
    'litert_wasm_compat_internal.wasm',
  ],
  'node_modules/onnxruntime-web/dist': ['ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'],
};

mkdirSync('public/wasm', {recursive: true});
for (const [folder, names] of Object.entries(FILES)) {
  for (const name of names) {
    copyFileSync(`${folder}/${name}`, `public/wasm/${name}`);
  }
}
