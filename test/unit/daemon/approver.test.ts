/** The command of `--approve`: real processes. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Approver } from '../../../src/daemon/approver.js';
import { MAX_APPROVALS } from '../../../src/media/policy.js';
import { logLines } from '../../support/log-lines.js';

const applicant = { device: '/dev/video7', card: 'A \u001b[2Jcamera', socket: '/run/a.sock', vmm: 42 };
const LIMIT = 3000;

describe('the approver', () => {
  const lines = logLines();
  let folder: string;
  let approver: Approver | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-'));
  });
  afterEach(async () => {
    await approver?.close();
    approver = undefined;
    rmSync(folder, { recursive: true });
  });

  /** The function that asks a script. Each test is another device: the log says the same of one device once in 5 s. */
  let tests = 0;
  function asking(script: string, ...more: string[]) {
    const path = join(folder, 'command');
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    approver = new Approver([path, ...more]);
    return approver.for({ ...applicant, device: `/dev/video${tests++}` });
  }
  const never = () => new AbortController().signal;
  const reason = () => String(lines.at(-1)?.message);
  const lives = (pid: number) => existsSync(`/proc/${pid}`);

  async function written(name: string): Promise<string> {
    const path = join(folder, name);
    for (let n = 0; n < 200 && !(existsSync(path) && readFileSync(path, 'utf8').endsWith('\n')); n++)
      await sleep(10);
    return readFileSync(path, 'utf8').trim();
  }
  async function ends(pid: number): Promise<void> {
    for (let n = 0; n < 200 && lives(pid); n++) await sleep(10);
    assert.equal(lives(pid), false);
  }

  it('a command that is not there any more: no', async () => {
    approver = new Approver([join(folder, 'none')]);
    assert.equal(await approver.for({ ...applicant, device: 'gone' })(1, never(), LIMIT), false);
    assert.match(reason(), /the command cannot be run: ENOENT$/);
  });

  it('another exit status than 0, and a signal: no', async () => {
    assert.equal(await asking('exit 3')(1, never(), LIMIT), false);
    assert.match(reason(), /exit status 3$/);
    await approver!.close();
    assert.equal(await asking('kill -9 $$')(1, never(), LIMIT), false);
    assert.match(reason(), /ended by a signal$/);
  });

  it('no answer in time: no, and nothing of its group is left', async () => {
    const ask = asking(`sleep 100 & echo $! > ${folder}/child; echo $$ > ${folder}/own; wait`);
    const began = performance.now();
    const answer = ask(1, never(), 1500);
    const pids = [Number(await written('child')), Number(await written('own'))];
    assert.equal(await answer, false);
    assert.ok(performance.now() - began >= 1400);
    assert.match(reason(), /no answer within 1500 ms$/);
    for (const pid of pids) await ends(pid);
  });

  it('nobody waits any more: the process is ended at once, and it is no refusal', async () => {
    const ask = asking(`echo $$ > ${folder}/own; exec sleep 100`);
    const until = new AbortController();
    const answer = ask(1, until.signal, LIMIT);
    const pid = Number(await written('own'));
    until.abort();
    assert.equal(await answer, false);
    await ends(pid);
    assert.deepEqual(lines, []);
    assert.equal(await ask(2, until.signal, LIMIT), false, 'nor is one started');
  });

  it('runs a bounded number at a time; the others wait, and not for longer than their limit', async () => {
    const ask = asking(`echo x > ${folder}/$VMB_SESSION; while [ ! -e ${folder}/go ]; do sleep 0.02; done`);
    const first = Array.from({ length: MAX_APPROVALS }, (_, n) => ask(100 + n, never(), 8000));
    for (let n = 0; n < MAX_APPROVALS; n++) await written(String(100 + n));
    const waiting = Array.from({ length: 20 }, (_, n) => ask(200 + n, never(), 300));
    const patient = ask(300, never(), 8000);
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set([false]));
    assert.equal(readdirSync(folder).filter((name) => /^[23]\d\d$/.test(name)).length, 0);
    writeFileSync(join(folder, 'go'), '');
    assert.deepEqual(new Set(await Promise.all([...first, patient])), new Set([true]));
    await written('300');
  });

  it('close() ends what still runs', async () => {
    const ask = asking(`echo $$ > ${folder}/own; exec sleep 100`);
    const answer = ask(1, never(), LIMIT);
    const pid = Number(await written('own'));
    await approver!.close();
    await ends(pid);
    assert.equal(await answer, false);
  });

  it('exit status 0: yes, and the command knows who asks for what, without a shell of its own', async () => {
    process.env.NOTIFY_SOCKET = '/run/notify';
    try {
      const ask = asking(
        `env > ${folder}/env; ls /proc/self/fd > ${folder}/fd; echo "$1" > ${folder}/word`,
        '$(x); "',
      );
      assert.equal(await ask(7, never(), LIMIT), true);
    } finally {
      delete process.env.NOTIFY_SOCKET;
    }
    const environment = (await written('env')).split('\n');
    for (const line of ['VMB_CARD=A ?[2Jcamera', 'VMB_SOCKET=/run/a.sock', 'VMB_VMM_PID=42', 'VMB_SESSION=7'])
      assert.ok(environment.includes(line), line);
    assert.ok(environment.some((line) => line.startsWith('VMB_DEVICE=/dev/video')));
    assert.ok(!environment.some((line) => line.startsWith('NOTIFY_SOCKET')));
    assert.equal(await written('word'), '$(x); "');
    // 0, 1 and 2, and the folder that ls reads.
    assert.deepEqual((await written('fd')).split('\n'), ['0', '1', '2', '3']);
    assert.deepEqual(lines, []);
  });
});
