import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonGraph, circles, typescriptGraph } from './import-graph.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const source = join(root, 'src');

/**
 * The folders that each folder of src may import, besides itself and what every folder may import
 * (docs/architecture.md).
 */
const allowed: Readonly<Record<string, readonly string[]>> = {
  virtio: [],
  v4l2: [],
  'vhost-user': ['virtio'],
  media: ['virtio', 'v4l2'],
  client: [
    'virtio/ring-layout',
    'vhost-user/protocol',
    'media/protocol',
    'v4l2/layout',
    'v4l2/control-layout',
    'v4l2/buffer-type',
    'v4l2/ioctls',
    'v4l2/names',
  ],
  cli: [
    'daemon',
    'privileges',
    'service-manager',
    'sockets',
    'cli',
    'client',
    'doctor',
    'v4l2',
    'media/policy',
    'media/protocol',
    'vhost-user/protocol',
    'vhost-user/vmm-traits',
  ],
  daemon: ['media', 'virtio', 'vhost-user', 'v4l2', 'privileges', 'sockets', 'start-error'],
  doctor: ['v4l2'],
  sockets: ['vhost-user', 'start-error'],
  'start-error': ['v4l2/open-failure'],
};
const everybody = ['struct', 'errno', 'crypto', 'package', 'printable', 'log', 'result', 'native-ring'];
/** Files that contain only numbers and records. */
const tables = [
  'media/protocol',
  'v4l2/control-classes',
  'v4l2/control-layout',
  'v4l2/layout',
  'v4l2/enumeration-layout',
  'v4l2/ioctls',
  'vhost-user/protocol',
  'virtio/ring-layout',
  'native-ring',
];
/** The files that may load the addon. Every file may import its types. */
const nativeImporters = [
  /^(privileges|service-manager)$/,
  /^v4l2\/(node|discovery|survey|media-request|command-table|record-translation)$/,
  /^virtio\/(guest-memory|memory-region|memory-file|region-bytes|queue)$/,
  /^vhost-user\/(connection|backend-channel|listener|vring|kick)$/,
  /^client\//,
];

const { files, imports } = typescriptGraph();
const layer = (name: string) => name.split('/')[0]!;
const within = (target: string, places: readonly string[]) =>
  places.some((place) => target === place || target.startsWith(`${place}/`));

describe('layers', () => {
  it('finds the imports it judges', () => {
    assert.ok(imports.length > 100);
    assert.ok(imports.some(({ file, target }) => file === 'daemon' && target === 'media/device'));
  });

  it('has arrows that point down only', () => {
    const wrong = imports.filter(({ file, target }) => {
      if (target === 'native' || within(target, everybody) || layer(target) === layer(file)) return false;
      return !within(target, allowed[layer(file)] ?? []);
    });
    assert.deepEqual(wrong, []);
  });

  it("has no circle of imports, types included, nor one of the addon's includes", () => {
    assert.deepEqual(circles(typescriptGraph()), []);
    assert.deepEqual(circles(addonGraph()), []);
  });

  it('knows a circle when there is one', () => {
    const edge = (file: string, target: string) => ({ file, target, typeOnly: true });
    const graph = {
      files: ['a', 'b', 'c', 'd'],
      imports: [edge('a', 'b'), edge('b', 'c'), edge('c', 'b'), edge('c', 'd')],
    };
    assert.deepEqual(circles(graph), [['b', 'c']]);
  });

  it('keeps the addon to the files that own a kernel facility', () => {
    const wrong = imports.filter(
      ({ file, target, typeOnly }) =>
        target === 'native' && !typeOnly && !nativeImporters.some((pattern) => pattern.test(file)),
    );
    const onlyConstants = wrong.filter(({ file }) => !isConstantUse(file));
    assert.deepEqual(onlyConstants, []);
  });

  it('keeps numbers and records in files that import only struct.ts and one another', () => {
    const wrong = imports.filter(
      ({ file, target }) => tables.includes(file) && target !== 'struct' && !tables.includes(target),
    );
    assert.deepEqual(wrong, []);
  });

  it('keeps files at a length that can be read', () => {
    const long = files
      .filter((file) => !tables.includes(file))
      .map((file) => ({
        file,
        lines: readFileSync(join(source, `${file}.ts`), 'utf8').split('\n').length - 1,
      }))
      .filter(({ lines }) => lines > 300);
    assert.deepEqual(long, []);
  });

  it('has one shape for a value or an errno: no number is a value here and an errno there', () => {
    // `string | number` is a path or a descriptor, `Promise<number> | number` a status that may be there at once.
    const mixed = /(?<!\bstring|Promise<number>) \| number\b|-(Errno\.|errno\b)/;
    const found = files
      .filter((file) => file !== 'result' && file !== 'native')
      .flatMap((file) => {
        const lines = readFileSync(join(source, `${file}.ts`), 'utf8').split('\n');
        const code = lines.filter((line) => !/^\s*(\/?\*|\/\/)/.test(line));
        return code.filter((line) => mixed.test(line)).map((line) => `${file}: ${line.trim()}`);
      });
    assert.deepEqual(found, []);
  });

  it('leaves nothing for later in the source', () => {
    const marks = files.filter((file) =>
      /\b(TODO|FIXME|XXX)\b/.test(readFileSync(join(source, `${file}.ts`), 'utf8')),
    );
    assert.deepEqual(marks, []);
  });
});

/** NodeEvents and PollEvents are numbers that the addon's type declarations contain. */
function isConstantUse(file: string): boolean {
  const text = readFileSync(join(source, `${file}.ts`), 'utf8');
  const [, names] = /import \{([^}]*)\} from '[./]*native\.js'/.exec(text) ?? [];
  return (names ?? '').split(',').every((name) => /^\s*(type \w+|NodeEvents|PollEvents)?\s*$/.test(name));
}
