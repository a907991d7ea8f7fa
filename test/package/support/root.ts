/** Runs shell scripts as root in a throw-away copy of a root file system (root.sh). */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { checkout, skip } from './npm.js';

const script = join(checkout, 'test/package/root.sh');

/** The output of a command, and its exit status. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Makes the bare root file system, the first time. If that cannot be, says why and skips the suite of `context`. */
export function provideRoot(context: Mocha.Context): void {
  const { status, stderr } = spawnSync(script, ['build'], { encoding: 'utf8' });
  if (status !== 0) skip(context, `no root file system: ${stderr.trim().split('\n').at(-1)}`);
}

/** The folder /mnt of the copies, which all scripts of one suite share. */
export class SharedFolder {
  readonly path = mkdtempSync(join(checkout, 'build/shared-'));

  constructor(readonly root: 'bare' | 'lab') {
    chmodSync(this.path, 0o755);
    mkdirSync(join(this.path, 'cache'));
  }

  /** Puts links to a file of this checkout, or to those of a folder, into it. Returns the path inside. */
  put(path: string, name = basename(path)): string {
    if (!existsSync(join(this.path, name))) execFileSync('cp', ['-R', '--link', path, join(this.path, name)]);
    return `/mnt/${name}`;
  }

  /**
   * Runs a shell script. In it, `note NAME COMMAND...` runs a command as root and `user NAME COMMAND...` runs it as an
   * ordinary user; the outcomes are returned by their names.
   */
  run(text: string): Map<string, Outcome> {
    const notes = join(this.path, 'notes');
    rmSync(notes, { recursive: true, force: true });
    mkdirSync(notes);
    const { status, stdout, stderr } = spawnSync(script, ['run', this.root, this.path, PRELUDE + text], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`the script failed (${status}):\n${stdout}${stderr}`);
    const names = readFileSync(join(notes, 'names'), 'utf8').trim().split('\n');
    const read = (name: string) => readFileSync(join(notes, name), 'utf8');
    return new Map(
      names.map((name) => [
        name,
        { status: Number(read(`${name}.status`)), stdout: read(`${name}.out`), stderr: read(`${name}.err`) },
      ]),
    );
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const PRELUDE = `
note() {
  name=$1 status=0
  shift
  echo "$name" >> /mnt/notes/names
  "$@" > "/mnt/notes/$name.out" 2> "/mnt/notes/$name.err" < /dev/null || status=$?
  echo "$status" > "/mnt/notes/$name.status"
}
user() {
  name=$1
  shift
  note "$name" setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/tmp "$@"
}
`;
