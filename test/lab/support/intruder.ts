/**
 * A test loads this module into the daemon (node --import). At SIGUSR2 it tries what an attacker would try who controls
 * the daemon, and prints one line of JSON with the kernel's answers.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, unlinkSync } from 'node:fs';

const { INTRUDER_SECRET: secret = '', INTRUDER_SETUID_ID: setuidId = '' } = process.env;

/** `done`, or the name of the errno. */
function tried(what: () => unknown): string {
  try {
    what();
    return 'done';
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

export interface Attempts {
  readonly [what: string]: string;
}

/**
 * Tries to change ids in a child process, which starts with the ids of this process. Node's own calls refuse to change
 * ids if libuv may use io_uring.
 */
function changed(...words: string[]): string {
  const { status, stderr } = spawnSync('setpriv', [...words, 'true'], { encoding: 'latin1' });
  return status !== 0 && stderr.includes('not permitted') ? 'EPERM' : `${status} ${stderr}`;
}

function attempts(): Attempts {
  return {
    user: changed('--reuid', '0'),
    group: changed('--regid', '0', '--keep-groups'),
    groups: changed('--groups', '0'),
    read: tried(() => closeSync(openSync(secret, 'r'))),
    write: tried(() => closeSync(openSync(secret, 'w'))),
    remove: tried(() => unlinkSync(secret)),
    create: tried(() => closeSync(openSync('/root/intruder', 'w'))),
    init: tried(() => closeSync(openSync('/proc/1/environ', 'r'))),
    kill: tried(() => process.kill(1, 0)),
    ownEnvironment: tried(() => readFileSync('/proc/self/environ')),
    // A program that runs as root, whoever starts it.
    setuidProgram: spawnSync(setuidId, ['-u'], { encoding: 'latin1' }).stdout.trim(),
  };
}

process.on('SIGUSR2', () => process.stderr.write(`intruder ${JSON.stringify(attempts())}\n`));
