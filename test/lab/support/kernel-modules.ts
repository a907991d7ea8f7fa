/** Kernel modules of the lab's machine, and the nodes that they make. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const CLASS = '/sys/class/video4linux';
/**
 * run.sh shares this folder with the machine. Without it no module is loaded, so that test drivers never get into a
 * developer's own kernel.
 */
const LAB = '/run/lab';

/**
 * Loads modules with their parameters; each string is a command line for modprobe. Modules that are loaded already are
 * unloaded first. If this machine cannot do that, says so and skips the suite or test of `context`.
 */
export function provide(context: Mocha.Context, ...lines: string[]): void {
  const reason = obstacle(lines);
  if (reason) {
    console.error(`SKIPPED: ${titleOf(context)}: ${reason}`);
    context.skip();
  }
  unload(...lines);
  for (const line of lines) execFileSync('modprobe', line.split(' '), { stdio: 'pipe' });
}

/** Unloads modules. Fails while anything has one of their nodes open, so it also tests that nothing has. */
export function unload(...lines: string[]): void {
  for (const line of lines) {
    const module = line.split(' ')[0]!;
    if (existsSync(`/sys/module/${module}`)) execFileSync('modprobe', ['-r', module], { stdio: 'pipe' });
  }
}

/** Unloads modules if nothing has one of their nodes open, and returns whether it did. */
export function isUnloaded(...lines: string[]): boolean {
  try {
    unload(...lines);
    return true;
  } catch {
    return false;
  }
}

/** /dev path of the node with this name in sysfs; of the n-th one if several have it. */
export function nodeNamed(name: string, n = 0): string {
  const node = nodesNamed((other) => other === name)[n];
  if (!node) throw new Error(`there is no V4L2 node called ${name}`);
  return node;
}

/** Whether there is a node with this name in sysfs. */
export const isNode = (name: string): boolean => nodesNamed((other) => other === name).length > 0;

/** /dev paths of the nodes whose name in sysfs `is` accepts, sorted by number. */
export function nodesNamed(is: (name: string) => boolean): string[] {
  return readdirSync(CLASS)
    .filter((node) => is(readFileSync(`${CLASS}/${node}/name`, 'utf8').trim()))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((node) => `/dev/${node}`);
}

function obstacle(lines: readonly string[]): string | undefined {
  if (!existsSync(LAB)) return 'this is not the lab (test/lab/run.sh)';
  for (const line of lines) {
    const module = line.split(' ')[0]!;
    if (spawnSync('modprobe', ['--dry-run', '--quiet', module]).status !== 0)
      return `the lab's kernel has no module ${module}`;
  }
  return undefined;
}

function titleOf({ test, currentTest }: Mocha.Context): string {
  return test?.parent?.fullTitle() ?? currentTest?.fullTitle() ?? 'a suite';
}
