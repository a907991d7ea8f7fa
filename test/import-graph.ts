/**
 * Who imports whom, types included: in src by `import` and `export … from`, in addon by `#include "…"`. Run as a
 * program (`node dist/test/import-graph.js`), it prints the number of files, imports and circles, and the files of each
 * folder.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Import {
  /** Path below the graph's root, without an extension. */
  readonly file: string;
  readonly target: string;
  /** The import is of types only: the compiled JavaScript does not contain it. */
  readonly typeOnly: boolean;
}

export interface ImportGraph {
  readonly files: readonly string[];
  readonly imports: readonly Import[];
}

/** The graph of src, or of another folder of TypeScript. */
export function typescriptGraph(folder = 'src'): ImportGraph {
  const source = join(root, folder);
  const files = namesIn(source, '.ts');
  const imports = files.flatMap((file) => {
    const text = readFileSync(join(source, file), 'utf8');
    const found = text.matchAll(/^(?:import|export)\s+(type\s+)?([^;]*?)\s+from\s+'(\.[^']+)'/gms);
    return [...found].map(([, type, names, path]) => ({
      file: file.replace(/\.ts$/, ''),
      target: relative(source, join(source, dirname(file), path!)).replace(/\.js$/, ''),
      typeOnly: type !== undefined || /^\{(\s*type\s+\w+,?)+\s*\}$/.test(names!),
    }));
  });
  return { files: files.map((file) => file.replace(/\.ts$/, '')), imports };
}

/** The graph of the addon: a header and its source are one file. */
export function addonGraph(): ImportGraph {
  const source = join(root, 'addon');
  const names = [...namesIn(source, '.h'), ...namesIn(source, '.cc')];
  const stem = (name: string) => name.replace(/\.(h|cc)$/, '');
  const imports = namesIn(source, '.h').flatMap((name) => {
    const found = readFileSync(join(source, name), 'utf8').matchAll(/^#include "([^"]+)"/gm);
    return [...found].map(([, path]) => ({ file: stem(name), target: stem(path!), typeOnly: false }));
  });
  return { files: [...new Set(names.map(stem))], imports };
}

/**
 * Groups of files that all reach each other (Tarjan's strongly connected components). Groups of one file are left out.
 */
export function circles({ files, imports }: ImportGraph): string[][] {
  const targets = groupBy(imports, ({ file }) => file);
  const order = new Map<string, { index: number; low: number; onStack: boolean }>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string) => {
    const own = { index: order.size, low: order.size, onStack: true };
    order.set(file, own);
    stack.push(file);
    for (const { target } of targets.get(file) ?? []) {
      const seen = order.get(target) ?? visit(target);
      if (seen.onStack) own.low = Math.min(own.low, seen.low);
    }
    if (own.low === own.index) {
      const group = stack.splice(stack.indexOf(file));
      for (const each of group) order.get(each)!.onStack = false;
      if (group.length > 1) found.push(group.sort());
    }
    return own;
  };
  for (const file of files) if (!order.has(file)) visit(file);
  return found;
}

function groupBy<T>(all: readonly T[], keyOf: (each: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const each of all) groups.set(keyOf(each), [...(groups.get(keyOf(each)) ?? []), each]);
  return groups;
}

function namesIn(folder: string, extension: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith(extension),
  );
}

function report(name: string, graph: ImportGraph): void {
  const { files, imports } = graph;
  const groups = circles(graph);
  console.log(`${name}: ${files.length} files, ${imports.length} edges, ${groups.length} circles`);
  for (const group of groups) console.log(`  circle of ${group.length}: ${group.join(' ')}`);
  const folders = groupBy(files, dirname);
  const counts = [...folders].map(([folder, { length }]) => `${folder} ${length}`);
  console.log(`  files a folder: ${counts.sort().join(', ')}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  report('src', typescriptGraph());
  report('addon', addonGraph());
}
