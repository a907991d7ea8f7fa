/**
 * Another program of the host blocks a node. Its guest is answered in time, and the other nodes of the daemon notice
 * nothing.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { Errno } from '../../src/errno.js';
import { ANSWER_DEADLINE_MS } from '../../src/media/policy.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, fmtdesc } from '../../src/v4l2/layout.js';
import { Bridge } from '../vmm/support/bridge.js';
import { askMeanwhile, controlQuestions, judge, Onlooker, usual } from './support/bystander.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { errnoOf } from './support/stage.js';
import { KeptCommand } from './support/watched-command.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const VIM2M = 'vim2m';
const HOLDER = fileURLToPath(new URL('support/node-holder.js', import.meta.url));
/** Milliseconds, more than the deadline and the time that a busy machine takes to get here. */
const HELD_MS = 8000;
const PATIENCE_MS = 5000;
const IDLE_MS = 1500;

describe('lab: a node that another program holds', function () {
  this.timeout(90_000);
  let bridge: Bridge;
  let second: string;

  before(async function () {
    provide(this, VIVID, VIM2M);
    second = `/tmp/vmb-neighbour-${process.pid}.sock`;
    const more = ['--device', nodeNamed('vivid-000-vid-cap'), '--socket-path', second];
    bridge = await Bridge.serve(nodeNamed(VIM2M), ...more);
  });
  after(async () => {
    await bridge?.close();
    unload(VIVID, VIM2M);
  });

  async function guestAt(socket: string) {
    const frontEnd = await Vmm.connect(socket);
    const driver = await GuestDriver.probe(frontEnd, { concurrent: true, timeout: 20_000 });
    return { frontEnd, driver };
  }

  it('ETIMEDOUT in time, the control channel and another node as ever; then all is well again', async () => {
    const held = await guestAt(bridge.socket);
    const other = await guestAt(second);
    const queue = new GuestQueue(other.driver, await other.driver.open(), BufferType.VIDEO_CAPTURE);
    await queue.setFormat('GREY', 320, 180);
    await queue.start(4);
    const onlooker = new Onlooker(other.driver, queue);
    const session = await held.driver.open();
    const payload = encoded(fmtdesc, { type: BufferType.VIDEO_CAPTURE });
    const ask = () => errnoOf(held.driver.ioctl(session, Ioctl.ENUM_FMT, payload));
    assert.equal(await ask(), 0);
    const questions = {
      ...controlQuestions(held.frontEnd),
      'GET_CONFIG of the other node': () => other.frontEnd.readConfig(),
      'ENUM_FMT of the other node': () => other.driver.ioctl(queue.session, Ioctl.ENUM_FMT, payload),
    };
    const others = await usual(questions);
    await sleep(IDLE_MS);

    const holder = spawn(process.execPath, [HOLDER, nodeNamed(VIM2M), String(HELD_MS)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(holder, 'exit');
    await once(holder.stdout, 'data');
    // The program is in its close() by then.
    await sleep(300);
    const sent = KeptCommand.ioctl(held.driver, session, Ioctl.ENUM_FMT, payload);
    const times = await onlooker.during(askMeanwhile(questions, sent.answer));
    const { errno } = await sent.answer;
    sent.reuse();
    assert.equal(holder.exitCode, null, 'the machine is too slow for this test');
    judge('a node that another program holds', times, others);
    assert.equal(errno, Errno.ETIMEDOUT);
    assert.ok(sent.took > ANSWER_DEADLINE_MS - 100 && sent.took < PATIENCE_MS, `${sent.took} ms`);
    await ended;
    const end = performance.now() + 5000;
    while ((await ask()) !== 0) {
      assert.ok(performance.now() < end, 'the session never comes back');
      await sleep(20);
    }
    sent.verify();
    onlooker.stop();
    for (const { driver, frontEnd } of [held, other]) {
      assert.deepEqual(driver.complaints, []);
      assert.equal(driver.lateAnswers, 0);
      driver.remove();
      frontEnd.close();
    }
  });
});
