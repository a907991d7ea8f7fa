/** The daemon over nodes that describe themselves and do nothing else: one VMM after the other, stop(), and the log. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import winston from 'winston';
import { Daemon, type ServeOptions } from '../../src/daemon.js';
import { log } from '../../src/log.js';
import { MediaDevice } from '../../src/media/device.js';
import { native } from '../../src/native.js';
import { HostNode, NodeError } from '../../src/v4l2/node.js';
import { message } from '../device/support/wire.js';
import { Ask } from '../support/front-end-messages.js';
import { turns } from './media/bench.js';

const EBUSY = 16;
const ENOMEM = 12;
const description = { driver: '', card: '', busInfo: '', deviceCaps: 0x0400_0001, deviceType: 0 };

describe('daemon', () => {
  const { describe: asked, holders } = HostNode.prototype;
  const closed = MediaDevice.prototype.closed;
  const closing = Object.getOwnPropertyDescriptor(MediaDevice.prototype, 'closing')!;
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const transport = new winston.transports.Stream({ stream });
  let folder: string;

  before(() => log.add(transport));
  after(() => log.remove(transport));
  beforeEach(() => {
    lines.length = 0;
    folder = mkdtempSync(join(tmpdir(), 'vmb-'));
    HostNode.prototype.describe = async () => description;
  });
  afterEach(() => {
    Object.assign(HostNode.prototype, { describe: asked, holders });
    MediaDevice.prototype.closed = closed;
    Object.defineProperty(MediaDevice.prototype, 'closing', closing);
    rmSync(folder, { recursive: true });
  });

  const socket = () => join(folder, 'socket');
  const daemon = () => {
    const options: ServeOptions = {
      pairs: [{ device: '/dev/null', socket: { path: socket() } }],
      sharedMemorySize: 0,
      mmap: 'auto',
      frontend: 'auto',
      memSlots: false,
      objects: false,
      sharedPages: false,
      errorEvents: false,
      requests: 'off',
    };
    return new Daemon(options);
  };

  /** A daemon to which one VMM for each promise has connected and left. The files of a VMM are closed when its promise
   * resolves. */
  async function visited(...files: Promise<void>[]): Promise<Daemon> {
    const answers = [...files];
    MediaDevice.prototype.closed = () => answers.shift() ?? Promise.resolve();
    Object.defineProperty(MediaDevice.prototype, 'closing', { get: () => 3 });
    const served = daemon();
    await served.start();
    for (let left = files.length; left > 0; left--) {
      const vmm = connect(socket());
      await once(vmm, 'connect');
      await turns(20);
      vmm.destroy();
      while (answers.length >= left) await turns();
    }
    return served;
  }

  it('stop() waits for the files of every VMM, not of the last one alone', async () => {
    let end = () => {};
    const hangs = new Promise<void>((resolve) => {
      end = resolve;
    });
    const served = await visited(hangs, Promise.resolve());
    let stopped = false;
    const stopping = served.stop().then(() => {
      stopped = true;
    });
    await turns(50);
    assert.equal(stopped, false);
    end();
    await stopping;
    assert.equal(lines.filter((line) => line.includes('let go')).length, 0);
  });

  it('stop() ends after its grace, and says which VMM has left how many files', async () => {
    const never = new Promise<void>(() => undefined);
    const served = await visited(never, Promise.resolve(), never);
    const began = performance.now();
    await served.stop();
    assert.ok(performance.now() - began > 400);
    const said = lines.filter((line) => line.includes('let go'));
    assert.equal(said.length, 2);
    for (const line of said) assert.match(line, new RegExp(`device=/dev/null files=3 vmm=${process.pid}`));
  });

  it('a front-end that connects before the daemon has noticed that the last one left is served', async () => {
    const served = daemon();
    await served.start();
    let last = connect(socket());
    try {
      await once(last, 'connect');
      await turns(20);
      for (let round = 0; round < 20; round++) {
        // The daemon runs on this loop, and sees both at its next poll: first the new connection, then the end.
        const fd = native.connect(socket());
        last.destroy();
        last = new Socket({ fd });
        last.write(message(Ask.GET_FEATURES, Buffer.alloc(0)));
        await once(last, 'data');
      }
      const refusals = () => lines.filter((line) => line.includes('a second front-end was refused')).length;
      assert.equal(refusals(), 0);
      await once(connect(socket()).resume(), 'close');
      assert.equal(refusals(), 1);
    } finally {
      last.destroy();
      await served.stop();
    }
  });

  /** The message of a start that fails with this errno of the node. */
  async function refusal(
    errno: number,
    found: Partial<Awaited<ReturnType<typeof holders>>>,
  ): Promise<string> {
    HostNode.prototype.describe = () => Promise.reject(new NodeError(errno, '/dev/null cannot be opened'));
    HostNode.prototype.holders = async () => ({ holders: [], hidden: false, own: false, ...found });
    return daemon()
      .start()
      .then(
        () => '',
        (error: Error) => error.message,
      );
  }

  it('a start on a busy node names who has it: another program, or the bridge itself', async () => {
    const other = { pid: 7, command: 'ffmpeg', maps: false };
    assert.match(await refusal(EBUSY, { holders: [other] }), /: ffmpeg \(7\) has it, end that one first\.$/);
    assert.match(await refusal(EBUSY, { holders: [other], own: true }), /: it is served already, /);
    assert.doesNotMatch(await refusal(ENOMEM, { holders: [other] }), /ffmpeg/);
  });
});
