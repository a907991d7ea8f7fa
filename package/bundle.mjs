/**
 * Makes the program that users run from the compiled TypeScript: dist/bin/cli.js, and a file for each part that only
 * some commands load. Node needs half a millisecond and more to find and read a module, and the program and the packages
 * that it uses are three hundred. Their licenses go to dist/bin/LICENSES.txt.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = 'dist/bin';
/**
 * V8 collects the garbage on the thread that made it. The daemon has little, and to share a collection of a millisecond
 * among threads takes several on a busy machine, in which no guest is answered (docs/performance.md, "The collector").
 */
const nodeOptions = '--single-threaded-gc';
/** The first lines of the program. For sh the second one starts Node; for JavaScript it is a string and a comment. */
const head = `#!/bin/sh\n':' //; exec node ${nodeOptions} "$0" "$@"\n`;

/** The folder of the package that a file belongs to, from the root; undefined: the file is the project's own. */
const packageOf = (path) => /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];

/** Name, version and license text of a package. Throws if it has no license file. */
function licenseOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
  const file = readdirSync(join(root, folder)).find((entry) => /^(un)?licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} ${version} has no license file, so it must not be in ${target}`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(root, folder, file), 'utf8').trim()}\n`;
}

if (!existsSync(join(root, 'dist/src/cli.js'))) throw new Error('there is no dist/src/cli.js: run `npm run build:ts`');
rmSync(join(root, target), { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['dist/src/cli.js'],
  outdir: target,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // It has a library of its own beside its JavaScript, and only `probe` loads it.
  external: ['sharp'],
  // The names of the files depend on the paths of the modules, and these on where node_modules really is.
  preserveSymlinks: true,
  logLevel: 'warning',
  metafile: true,
});
const packages = new Set(Object.keys(metafile.inputs).flatMap((path) => packageOf(path) ?? []));
writeFileSync(join(root, target, 'LICENSES.txt'), [...packages].sort().map(licenseOf).join(`\n${'-'.repeat(80)}\n\n`));
/** Packages in CommonJS call require. A file that does not is without it, because to make one takes a while. */
const requires = "import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);\n";
const program = join(root, target, 'cli.js');
for (const path of Object.keys(metafile.outputs).map((output) => join(root, output))) {
  const text = readFileSync(path, 'utf8').replace(/^#!.*\n/, '');
  writeFileSync(path, [path === program ? head : '', /\brequire\b/.test(text) ? requires : '', text].join(''));
}
