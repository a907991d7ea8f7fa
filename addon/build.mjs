/**
 * Builds the addon from its sources into build/Release: `npm run build:addon`, in a checkout and in an installed
 * package. If something for that is missing, says what, and exits with 1. The arguments are node-gyp's.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiler = process.env.CXX || 'g++';
const source = '#include <linux/videodev2.h>\n#include <pthread.h>\n#include <span>\nstd::span<int> none;\n';

/** What the build needs, and a command that succeeds only if it is there. */
const needs = [
  { what: 'make', command: 'make --version' },
  { what: 'Python 3', command: 'python3 --version' },
  {
    what: `a C++20 compiler with the headers of libc and of Linux (${compiler}: GCC 10 or later)`,
    command: `${compiler} -std=c++20 -fsyntax-only -x c++ -`,
  },
  { what: 'node-gyp (npm has it: start this with `npm run build:addon`)', command: 'node-gyp --version' },
  { what: 'the package node-addon-api', command: `"${process.execPath}" -p "require('node-addon-api').include_dir"` },
];

const missing = needs.filter(
  ({ command }) => spawnSync(command, { shell: true, cwd: root, input: source, stdio: ['pipe', 'ignore', 'ignore'] }).status !== 0,
);
if (missing.length > 0) {
  console.error(`The addon cannot be built, because this is missing: ${missing.map(({ what }) => what).join('; ')}.`);
  console.error('Debian: apt-get install g++ make python3. Alpine: apk add g++ make python3 linux-headers.');
  process.exit(1);
}

// node-gyp downloads the headers of this Node if they did not come with it.
const prefix = resolve(process.execPath, '../..');
const headers = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
// A checkout has src/, a package has only what was compiled from it.
const strict = existsSync(join(root, 'src')) ? '1' : '0';
const { status } = spawnSync(
  'node-gyp',
  ['configure', 'build', '--jobs=max', '--loglevel=error', ...headers, ...process.argv.slice(2)],
  { cwd: root, env: { ...process.env, GYP_DEFINES: `strict=${strict}` }, stdio: 'inherit' },
);
process.exit(status ?? 1);
