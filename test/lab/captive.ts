/**
 * Loaded into the daemon by a test (node --import): at SIGUSR2 it tries what somebody would who has taken the daemon over, and
 * prints a line of JSON with what the kernel said.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, unlinkSync } from 'node:fs';

const { CAPTIVE_SECRET: secret = '', CAPTIVE_SETUID_ID: setuidId = '' } = process.env;

/** `done`, or the name of the errno. */
function tried(what: () => unknown): string {
  try {
    what();
    return 'done';
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

const read = (path: string) => () => closeSync(openSync(path, 'r'));

export interface Attempts {
  readonly [what: string]: string;
}

function attempts(): Attempts {
  return {
    setuid: tried(() => process.setuid!(0)),
    seteuid: tried(() => process.seteuid!(0)),
    setgid: tried(() => process.setgid!(0)),
    setgroups: tried(() => process.setgroups!([0])),
    secret: tried(read(secret)),
    write: tried(() => closeSync(openSync(secret, 'w'))),
    remove: tried(() => unlinkSync(secret)),
    folder: tried(() => closeSync(openSync('/root/captive', 'w'))),
    init: tried(read('/proc/1/environ')),
    kill: tried(() => process.kill(1, 0)),
    // A program that is root's whoever starts it.
    setuidProgram: spawnSync(setuidId, ['-u'], { encoding: 'latin1' }).stdout.trim(),
    ownMemory: tried(() => readFileSync('/proc/self/environ')),
  };
}

process.on('SIGUSR2', () => process.stderr.write(`captive ${JSON.stringify(attempts())}\n`));
