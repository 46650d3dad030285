// The page without a network: what was fetched once is kept, and used where the server does not answer.
const CACHE = 'kfacealign';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

// What the page fetched before this worker was there.
self.addEventListener('message', (event) => event.waitUntil(keep(event.data)));

self.addEventListener('fetch', (event) => {
  if (event.request.method === 'GET' && new URL(event.request.url).origin === self.location.origin) {
    event.respondWith(answer(event.request));
  }
});

async function keep(addresses) {
  const cache = await caches.open(CACHE);
  for (const address of addresses) {
    if (!(await cache.match(address))) {
      await cache.add(address);
    }
  }
  const windows = await self.clients.matchAll();
  windows.forEach((window) => window.postMessage('kept'));
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) {
      await cache.put(request, response.clone());
    }
    return isolated(response);
  } catch (error) {
    const kept = await cache.match(request, {ignoreSearch: true});
    if (!kept) {
      throw error;
    }
    return isolated(kept);
  }
}

// Servers of static files do not send the headers that threads of WebAssembly need.
function isolated(response) {
  if (response.status === 0) {
    return response;
  }
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  return new Response(response.body, {status: response.status, statusText: response.statusText, headers});
}
