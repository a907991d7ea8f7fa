/** The npm package has what a user needs, and nothing else. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { checkout } from './support/npm.js';
import { packed } from './support/packed.js';

/** Paths of the files below a folder, without the folder. */
function filesOf(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true }) as string[];
  return paths.filter((path) => statSync(join(folder, path)).isFile());
}

const inFolder = (folder: string): string[] =>
  filesOf(join(checkout, folder)).map((path) => `${folder}/${path}`);

describe('package: contents', function () {
  this.timeout(400_000);
  let files: string;
  let manifest: { gypfile: boolean; scripts: Record<string, string>; dependencies: Record<string, string> };
  before(function () {
    ({ files } = packed(this));
    manifest = JSON.parse(readFileSync(join(files, 'package.json'), 'utf8'));
  });

  it('is the program, the prebuilt addons, the sources of the addon, udev and docs', () => {
    const expected = [
      ...['CHANGELOG.md', 'LICENSE', 'README.md', 'binding.gyp', 'package.json'],
      ...['addon', 'docs', 'udev'].flatMap(inFolder),
      ...['x64', 'arm64'].map((arch) => `prebuilds/linux-${arch}/virtio_media_bridge.node`),
    ];
    const bundle = filesOf(files).filter((path) => /^dist\/bin\/[^/]+\.js$/.test(path));
    assert.ok(bundle.includes('dist/bin/cli.js'));
    assert.deepEqual(filesOf(files).sort(), [...expected, 'dist/bin/LICENSES.txt', ...bundle].sort());
  });

  it('has the license of each package that is part of the program', () => {
    const licenses = readFileSync(join(files, 'dist/bin/LICENSES.txt'), 'utf8');
    const development = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')).devDependencies;
    const imported = inFolder('src').flatMap((path) => [
      ...readFileSync(join(checkout, path), 'utf8').matchAll(/^import (?!type ).*from '([a-z@][^:']*)';$/gm),
    ]);
    const bundled = new Set(imported.map(([, name]) => name!.split('/')[0]!));
    assert.ok(bundled.has('yargs') && bundled.has('winston'), 'the test looks at the imports');
    for (const name of bundled) {
      assert.ok(name in development, name);
      assert.match(licenses, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\((MIT|ISC|BSD-3-Clause)\\)$`, 'm'));
    }
  });

  it('has every source that binding.gyp names', () => {
    const named = readFileSync(join(files, 'binding.gyp'), 'utf8').match(/addon\/\w+\.cc/g)!;
    const present = filesOf(join(files, 'addon')).filter((path) => path.endsWith('.cc'));
    assert.deepEqual(named.sort(), present.map((path) => `addon/${path}`).sort());
  });

  it('runs nothing when it is installed', () => {
    const running = ['preinstall', 'install', 'postinstall', 'prepare', 'preprepare', 'postprepare'];
    assert.deepEqual(
      running.filter((name) => name in manifest.scripts),
      [],
    );
    // Otherwise npm runs node-gyp, because there is a binding.gyp.
    assert.equal(manifest.gypfile, false);
  });

  it('depends on what the program imports, and on the headers for a build from source', () => {
    const imported = filesOf(join(files, 'dist')).flatMap((path) => [
      ...readFileSync(join(files, 'dist', path), 'utf8').matchAll(
        /^import .*from ["']([a-z@][^:"']*)["'];$|\bimport\(["']([a-z@][^:"']*)["']\)/gm,
      ),
    ]);
    const given = imported.map(([, name, lazily]) => (name ?? lazily)!.split('/')[0]!);
    const names = new Set(given.filter((name) => !isBuiltin(name)));
    assert.deepEqual(Object.keys(manifest.dependencies).sort(), [...names, 'node-addon-api'].sort());
  });

  it('has all that its README and docs link to, tests apart', () => {
    const pages = filesOf(files).filter((path) => path.endsWith('.md'));
    const broken = pages.flatMap((page) => {
      const links = readFileSync(join(files, page), 'utf8').matchAll(/\]\(([^):#]+)(?:#[^)]*)?\)/g);
      const targets = [...links].map(([, target]) => normalize(join(dirname(page), target!)));
      return targets.filter((target) => !target.startsWith('test/') && !exists(join(files, target)));
    });
    assert.deepEqual(broken, []);
  });

  it('names no registry, nor does the lock file', () => {
    for (const name of ['package-lock.json', '.npmrc', 'package.json'])
      assert.doesNotMatch(readFileSync(join(checkout, name), 'utf8'), /"resolved"|registry[.=]/, name);
  });
});

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
