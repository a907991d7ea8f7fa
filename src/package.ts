/** The package's own files. This file stays two folders below its root, also when it is joined (package/bundle.mjs). */
import { fileURLToPath } from 'node:url';

/** The path of a file or folder of the package; empty: its root. */
export const inPackage = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** What helps if the addon does not load, as the end of a sentence. */
export const BUILD_ADDON = `build it on this machine with \`npm --prefix ${inPackage('')} run build:addon\``;
