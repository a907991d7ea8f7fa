/** contain() in a child process that has the handlers which end other commands: it goes on whatever is thrown. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path: string) => JSON.stringify(fileURLToPath(new URL(`../../../src/${path}`, import.meta.url)));
const PRELUDE = `
  import { contain } from ${at('cli/containment.js')};
  import { log } from ${at('log.js')};
  import { native } from ${at('native.js')};
  process.on('uncaughtException', () => process.exit(70));
  process.stdout.on('error', () => process.exit(0));
  contain(process);
`;
/** A script that calls contain(), does something bad, and exits with 42 if it still runs 300 ms later. */
const script = (bad: string) => `${PRELUDE}
  setTimeout(() => process.exit(42), 300);
  ${bad}`;

function run(bad: string, stderr: 'pipe' | number = 'pipe'): ChildProcess {
  const stdio = ['ignore', 'pipe', stderr] as ('pipe' | 'ignore' | number)[];
  return spawn(process.execPath, ['--input-type=module', '-e', script(bad)], { stdio });
}

async function outcome(child: ChildProcess): Promise<{ code: number | null; said: string }> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

describe('cli/containment', function () {
  this.timeout(20_000);

  const bugs: Record<string, string> = {
    'in a timer': `setTimeout(() => { throw new Error('a bug'); }, 1);`,
    'in a promise': `Promise.reject(new Error('a bug'));`,
    'in a callback of the addon': `
      const [one, other] = native.socketPair();
      const poller = new native.FdPoller(one, () => { poller.watch(0); throw new Error('a bug'); });
      poller.watch(1);
      native.send(other, Buffer.from('x'), []);`,
  };
  for (const [where, bug] of Object.entries(bugs))
    it(`goes on after an error ${where}, and says where it came from`, async () => {
      const { code, said } = await outcome(run(bug));
      assert.equal(code, 42, said);
      assert.match(said, /error: a fault in virtio-media-bridge.*\nError: a bug\n {4}at /);
    });

  it('goes on after things that are no errors, and says so once in a while', async () => {
    const { code, said } = await outcome(
      run(`for (const what of [undefined, null, 7, 'text', {}]) setTimeout(() => { throw what; }, 1);`),
    );
    assert.equal(code, 42, said);
    assert.equal(said.match(/a fault in/g)?.length, 1, said);
  });

  const talk = `setInterval(() => { log.warn('x'.repeat(10_000)); console.log('y'); }, 1);`;

  it('goes on when nobody reads what it says', async () => {
    const child = run(`${talk} Promise.reject(new Error('a bug'));`);
    await once(child.stdout!, 'data');
    child.stdout!.destroy();
    child.stderr!.destroy();
    const [code] = await once(child, 'exit');
    assert.equal(code, 42);
  });

  it('goes on when the disk is full', async () => {
    const full = openSync('/dev/full', 'w');
    try {
      const child = run(`${talk} Promise.reject(new Error('a bug'));`, full);
      child.stdout!.resume();
      assert.equal((await outcome(child)).code, 42);
    } finally {
      closeSync(full);
    }
  });
});
