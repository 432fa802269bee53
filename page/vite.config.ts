import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

/** What the gateway serves: files with a hash in their names, and index.html. */
export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: '../services/gateway/page/built',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the Content-Security-Policy takes nothing from data: addresses
  },
});
