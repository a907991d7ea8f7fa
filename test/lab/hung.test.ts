/** A device that stops answering during any operation. Its guest is answered in time, and nobody else notices. */
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { Errno } from '../../src/errno.js';
import { ANSWER_DEADLINE_MS } from '../../src/media/policy.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, buffer, fmtdesc, format, Memory, requestBuffers } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { Bridge } from '../vmm/support/bridge.js';
import { askMeanwhile, controlQuestions, judge, Onlooker, usual } from './support/bystander.js';
import { CuseNode, type Held } from './support/cuse-node.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { errnoOf } from './support/stage.js';
import { KeptCommand } from './support/watched-command.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const type = BufferType.VIDEO_CAPTURE;
/** Milliseconds after which the Linux driver gives up. */
const GUEST_PATIENCE_MS = 5000;
const IDLE_MS = 1500;
const DQBUF = 17;

interface Guest {
  readonly frontEnd: Vmm;
  readonly driver: GuestDriver;
}

async function guestAt(socket: string): Promise<Guest> {
  const frontEnd = await Vmm.connect(socket);
  // A Linux guest has only one command under way. Its other commands wait in the guest, not in the bridge.
  const driver = await GuestDriver.probe(frontEnd, { concurrent: true, timeout: 20_000 });
  return { frontEnd, driver };
}

async function streaming({ driver }: Guest, fourcc: string, width: number, height: number) {
  const queue = new GuestQueue(driver, await driver.open(), type);
  await queue.setFormat(fourcc, width, height);
  await queue.start(4);
  return queue;
}

/** What hangs, and the command that meets it. */
interface Fault {
  readonly name: string;
  readonly held: Held;
  /**
   * true: the stream is off before, and nothing has happened for a while. Absent: it is on, and the hardware has the
   * buffers.
   */
  readonly idle?: boolean;
  /** Makes the bridge itself call what hangs, before the command is sent. */
  readonly provoke?: (queue: GuestQueue) => Promise<unknown>;
  readonly command: (queue: GuestQueue) => KeptCommand;
}

const ioctl = (nr: number, payload: Uint8Array) => (queue: GuestQueue) =>
  KeptCommand.ioctl(queue.driver, queue.session, nr, payload);
const typeOnly = Buffer.from([type, 0, 0, 0]);
const readFormat = ioctl(Ioctl.G_FMT, encoded(format, { type }));
const faults: readonly Fault[] = [
  {
    name: 'ENUM_FMT',
    held: Ioctl.ENUM_FMT,
    idle: true,
    command: ioctl(Ioctl.ENUM_FMT, encoded(fmtdesc, { type })),
  },
  { name: 'G_FMT', held: Ioctl.G_FMT, command: readFormat },
  {
    name: 'QBUF of a stream',
    held: Ioctl.QBUF,
    command: ioctl(Ioctl.QBUF, encoded(buffer, { type, memory: Memory.MMAP, index: 1 })),
  },
  {
    name: 'REQBUFS',
    held: Ioctl.REQBUFS,
    idle: true,
    command: ioctl(Ioctl.REQBUFS, encoded(requestBuffers, { type, memory: Memory.MMAP, count: 2 })),
  },
  { name: 'STREAMOFF', held: Ioctl.STREAMOFF, command: ioctl(Ioctl.STREAMOFF, typeOnly) },
  {
    name: 'DQBUF, which the bridge itself asks',
    held: DQBUF,
    provoke: (queue) => queue.queue(0),
    command: readFormat,
  },
  {
    name: 'poll, which the watcher asks',
    held: 'poll',
    provoke: (queue) => queue.queue(0),
    // Other ioctls work, but STREAMOFF has to wait for the watcher.
    command: ioctl(Ioctl.STREAMOFF, typeOnly),
  },
  { name: 'everything', held: 'all', command: readFormat },
];

describe('lab: a device that hangs', function () {
  this.timeout(60_000);
  let node: CuseNode;
  let bridge: Bridge;
  let guest: Guest;
  let other: Guest;
  let onlooker: Onlooker;

  before(async function () {
    provide(this, VIVID);
    node = await CuseNode.make(this);
    const camera = nodeNamed(CAMERA);
    const second = `/tmp/vmb-hung-${process.pid}.sock`;
    bridge = await Bridge.serve(node.path, '--device', camera, '--socket-path', second);
    other = await guestAt(second);
    onlooker = new Onlooker(other.driver, await streaming(other, 'GREY', 320, 180));
  });
  beforeEach(async () => {
    guest = await guestAt(bridge.socket);
  });
  afterEach(async function () {
    await node.heal();
    leave(guest);
    if (this.currentTest?.state === 'failed') console.error(bridge.program.stderr.slice(-2000));
    assert.ok(await eventually(() => openFiles() === 0, 5000), `${openFiles()} files stay open`);
    verify(other);
  });
  after(async () => {
    onlooker?.stop();
    if (other) leave(other);
    await bridge?.close();
    await node?.end();
    unload(VIVID);
  });

  /** Number of files on the hanging node that the bridge has open. */
  const openFiles = () =>
    bridge.program.descriptors.filter((fd) => {
      try {
        return readlinkSync(`/proc/${bridge.program.pid}/fd/${fd}`) === node.path;
      } catch {
        return false;
      }
    }).length;

  const questions = () => {
    const payload = encoded(fmtdesc, { type });
    const session = onlooker.queue.session;
    return {
      ...controlQuestions(guest.frontEnd),
      'GET_CONFIG of the other node': () => other.frontEnd.readConfig(),
      'ENUM_FMT of the other node': () => other.driver.ioctl(session, Ioctl.ENUM_FMT, payload),
    };
  };

  for (const { name, held, idle, provoke, command } of faults)
    it(`${name}: ETIMEDOUT in time, guest memory left alone, everybody else served, and it comes back`, async () => {
      const queue = await streaming(guest, 'GREY', 64, 32);
      await queue.next();
      if (idle) await queue.off();
      const others = await usual(questions());
      if (idle) await sleep(IDLE_MS);
      const before = node.held;
      await node.hold(held);
      await provoke?.(queue);
      if (provoke) await node.waits(1, before);
      const sent = command(queue);
      const times = await onlooker.during(askMeanwhile(questions(), sent.answer));
      const { errno } = await sent.answer;
      sent.reuse();
      judge(name, times, others);
      assert.ok(node.held > before, 'nothing hangs');
      assert.equal(errno, Errno.ETIMEDOUT);
      assert.ok(sent.took > ANSWER_DEADLINE_MS - 100 && sent.took < GUEST_PATIENCE_MS, `${sent.took} ms`);
      const again = await errnoOf(guest.driver.ioctl(queue.session, Ioctl.G_FMT, encoded(format, { type })));
      assert.equal(again, Errno.ETIMEDOUT, 'it still hangs');
      await node.heal();
      assert.ok(await comesBack(queue), 'the session never comes back');
      sent.verify();
      await guest.driver.close(queue.session);
      const next = await streaming(guest, 'GREY', 64, 32);
      await next.next();
      sent.verify();
      verify(guest);
    });

  it('OPEN: the same; the file that comes too late is closed', async () => {
    const one = await guest.driver.open();
    const others = await usual(questions());
    await node.hold('open');
    const sent = KeptCommand.open(guest.driver);
    const own = () => guest.driver.ioctl(one, Ioctl.ENUM_FMT, encoded(fmtdesc, { type }));
    const asked = { ...questions(), 'ENUM_FMT of another session': own };
    judge('OPEN', await onlooker.during(askMeanwhile(asked, sent.answer)), others);
    assert.equal((await sent.answer).errno, Errno.ETIMEDOUT);
    assert.ok(sent.took < GUEST_PATIENCE_MS, `${sent.took} ms`);
    sent.reuse();
    await node.heal();
    assert.ok(await eventually(() => openFiles() === 1, 5000), `${openFiles()} files are open`);
    sent.verify();
    verify(guest);
  });

  it('CLOSE: the chain comes back in time, other sessions work, and the file is closed when it can be', async () => {
    const one = await guest.driver.open();
    const two = await guest.driver.open();
    const others = await usual(questions());
    await node.hold('close');
    const started = performance.now();
    const closed = guest.driver.close(two);
    const own = () => guest.driver.ioctl(one, Ioctl.ENUM_FMT, encoded(fmtdesc, { type }));
    const asked = { ...questions(), 'ENUM_FMT of another session': own };
    judge('CLOSE', await onlooker.during(askMeanwhile(asked, closed)), others);
    const took = performance.now() - started;
    assert.ok(took > ANSWER_DEADLINE_MS - 100 && took < GUEST_PATIENCE_MS, `${took} ms`);
    await node.heal();
    assert.ok(await eventually(() => openFiles() === 1, 5000), `${openFiles()} files are open`);
    verify(guest);
  });

  async function comesBack({ session }: GuestQueue): Promise<boolean> {
    const end = performance.now() + 5000;
    const works = () => errnoOf(guest.driver.ioctl(session, Ioctl.G_FMT, encoded(format, { type })));
    while ((await works()) !== 0) {
      if (performance.now() > end) return false;
      await sleep(20);
    }
    return true;
  }
});

function leave({ driver, frontEnd }: Guest): void {
  driver.remove();
  frontEnd.close();
}

/** Checks that nothing has happened that the Linux driver would not survive. */
function verify({ driver, frontEnd }: Guest): void {
  assert.deepEqual(driver.complaints, []);
  assert.equal(driver.lateAnswers, 0);
  assert.equal(frontEnd.ended, undefined);
  assert.deepEqual(frontEnd.warnings, []);
}
