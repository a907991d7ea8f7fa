/**
 * Commands that the threads of the commandq run, while their ioctls hang: each holds its session, and nothing else. The
 * node is a program's (cuse-node.c), because no driver of the kernel hangs on command.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { Errno } from '../../src/errno.js';
import { ANSWER_DEADLINE_MS, MAX_RING_THREADS } from '../../src/media/policy.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, fmtdesc, format, pixFormat } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { Bridge } from '../vmm/support/bridge.js';
import { CuseNode } from './support/cuse-node.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';
import { KeptCommand } from './support/watched-command.js';

const type = BufferType.VIDEO_CAPTURE;
const payload = encoded(format, { type });
const enumeration = encoded(fmtdesc, { type });
const lane = { concurrent: true, timeout: 20_000 };
/** Enough flat commands that the loop lends its ring, whatever it waits for. */
const MANY = 20;
const HANG_MS = 1500;
/** Milliseconds beyond the deadline that a busy machine may need. */
const SLACK_MS = 500;
const WIDTH = 64;

describe('lab: threads of a commandq', function () {
  this.timeout(60_000);
  let node: CuseNode;

  before(async function () {
    node = await CuseNode.make(this);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
    return node.heal();
  });
  after(() => node?.end());

  /** How many threads of commandqs this process has. */
  const threads = () =>
    readdirSync('/proc/self/task').filter((id) => {
      try {
        return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim() === 'vmb-ring';
      } catch {
        return false;
      }
    }).length;

  const ask = ({ driver }: Pick<Stage, 'driver'>, session: number, nr: number = Ioctl.G_FMT) =>
    errnoOf(driver.ioctl(session, nr, nr === Ioctl.ENUM_FMT ? enumeration : payload));

  /** Opens so many sessions. Then threads take the chains. */
  async function sessionsOf(stage: Stage, count: number): Promise<number[]> {
    const sessions: number[] = [];
    for (let n = 0; n < count; n++) sessions.push(await stage.driver.open());
    for (let n = 0; n < MANY; n++) assert.equal(await ask(stage, sessions[n % count]!), 0);
    assert.ok(threads() >= 2, `${threads()} threads`);
    return sessions;
  }

  /** Asks in each session, and resolves when the node hangs in all of them. */
  async function hang(stage: Stage, sessions: readonly number[]): Promise<Promise<number>[]> {
    const before = node.held;
    await node.hold(Ioctl.G_FMT);
    const asked = sessions.map((session) => ask(stage, session));
    await node.waits(sessions.length, before);
    return asked;
  }

  it('three sessions hang, and the fourth is served as ever', () =>
    onStage(node.path, { lane }, async (stage) => {
      const [fourth, ...others] = await sessionsOf(stage, 4);
      const asked = await hang(stage, others);
      const until = performance.now() + HANG_MS;
      let answered = 0;
      let longest = 0;
      while (performance.now() < until) {
        const began = performance.now();
        assert.equal(await ask(stage, fourth!, Ioctl.ENUM_FMT), 0);
        longest = Math.max(longest, performance.now() - began);
        answered++;
      }
      assert.ok(answered > 20, `${answered} answers`);
      assert.ok(longest < HANG_MS / 2, `${longest} ms`);
      await node.heal();
      assert.deepEqual(await Promise.all(asked), [0, 0, 0]);
    }));

  it('four sessions hang, and a fifth is served through the loop', () =>
    onStage(node.path, { lane }, async (stage) => {
      const [fifth, ...others] = await sessionsOf(stage, MAX_RING_THREADS);
      const asked = await hang(stage, others);
      assert.equal(threads(), MAX_RING_THREADS);
      for (let n = 0; n < MANY; n++) assert.equal(await ask(stage, fifth!, Ioctl.ENUM_FMT), 0);
      assert.equal(threads(), MAX_RING_THREADS);
      await node.heal();
      assert.deepEqual(await Promise.all(asked), [0, 0, 0, 0]);
      assert.ok(await eventually(() => threads() <= 2, 5000), 'those that are not needed end');
    }));

  it('ETIMEDOUT in time; meanwhile the session is degraded, and the next try has the answer', () =>
    onStage(node.path, { lane }, async (stage) => {
      const [session] = await sessionsOf(stage, 1);
      const began = performance.now();
      const [asked] = await hang(stage, [session!]);
      assert.equal(await asked, Errno.ETIMEDOUT);
      const took = performance.now() - began;
      assert.ok(took > ANSWER_DEADLINE_MS - 50 && took < ANSWER_DEADLINE_MS + SLACK_MS, `${took} ms`);
      const again = performance.now();
      assert.equal(await ask(stage, session!), Errno.ETIMEDOUT);
      assert.ok(performance.now() - again < SLACK_MS, 'it is told at once');
      const before = node.held;
      await node.heal();
      assert.ok(await eventually(async () => (await ask(stage, session!)) === 0, 5000));
      assert.equal(node.held, before);
      for (let n = 0; n < MANY; n++) assert.equal(await ask(stage, session!), 0);
    }));

  it('S_FMT that ends late is not run twice: the same request gets its result', () =>
    onStage(node.path, { lane }, async (stage) => {
      const [session] = await sessionsOf(stage, 1);
      const before = node.held;
      await node.hold(Ioctl.S_FMT);
      const fmt = encoded(format, { type, fmt: encoded(pixFormat, { width: WIDTH, height: 2 }) });
      const set = () => stage.driver.ioctl(session!, Ioctl.S_FMT, fmt);
      assert.equal(await errnoOf(set()), Errno.ETIMEDOUT);
      await node.heal();
      let answer: Buffer | undefined;
      while (!answer) answer = await set().catch(() => undefined);
      assert.equal(pixFormat.read(format.read(answer).fmt).width, WIDTH);
      assert.equal(node.held, before + 1, 'how often the node was asked');
    }));

  it('a VMM that pauses: EINTR, and after that the answer', () =>
    onStage(node.path, { lane }, async (stage) => {
      const [session, other] = await sessionsOf(stage, 2);
      const [asked] = await hang(stage, [session!]);
      await stage.frontEnd.stop();
      assert.equal(await asked, Errno.EINTR);
      await stage.frontEnd.start();
      const again = ask(stage, session!);
      assert.equal(await ask(stage, other!, Ioctl.ENUM_FMT), 0);
      await node.heal();
      assert.equal(await again, 0);
    }));

  for (const [what, end] of [
    ['the guest resets the device', (stage: Stage) => stage.reset()],
    [
      'the VMM leaves, and another comes',
      async (stage: Stage) => {
        stage.leave();
        await stage.enter();
      },
    ],
  ] as const)
    it(`${what} while ioctls hang: all is well for the next one, and nothing is left`, async () => {
      await onStage(node.path, { lane }, async (stage) => {
        const asked = await hang(stage, await sessionsOf(stage, 3));
        const over = Promise.allSettled(asked);
        await end(stage);
        await over;
        const session = await stage.driver.open();
        assert.equal(await ask(stage, session, Ioctl.ENUM_FMT), 0);
        await node.heal();
        for (let n = 0; n < MANY; n++) assert.equal(await ask(stage, session), 0);
      });
      assert.ok(await eventually(() => threads() === 0, 5000), `${threads()} threads are left`);
    });

  it('a process that is stopped for longer than the guest waits writes nothing and gives nothing back', async () => {
    const bridge = await Bridge.serve(node.path);
    const frontEnd = await Vmm.connect(bridge.socket);
    const driver = await GuestDriver.probe(frontEnd, { concurrent: true, timeout: 30_000 });
    try {
      const session = await driver.open();
      for (let n = 0; n < MANY; n++) assert.equal(await ask({ driver }, session), 0);
      const before = node.held;
      await node.hold(Ioctl.G_FMT);
      const sent = KeptCommand.ioctl(driver, session, Ioctl.G_FMT, payload);
      sent.answer.catch(() => undefined);
      await node.waits(1, before);
      bridge.program.signal('SIGSTOP');
      await sleep(5000);
      // The driver has given up, so the memory is used for something else.
      sent.reuse();
      await node.heal();
      await sleep(1000);
      bridge.program.signal('SIGCONT');
      assert.ok(await eventually(async () => (await ask({ driver }, session)) === 0, 5000));
      sent.verify();
      assert.deepEqual(driver.complaints, []);
    } finally {
      driver.remove();
      frontEnd.close();
      await bridge.close();
    }
  });
});
