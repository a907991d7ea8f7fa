/** A node that is unplugged, busy or broken while a guest streams from it. The node is a fake. */
import assert from 'node:assert/strict';
import { type DeviceBench, format, turns, u32 } from './bench.js';
import { streamSuite } from './support/stream-suite.js';

const EBUSY = 16;
const ENODEV = 19;

describe('a node that fails', () => {
  let bench: DeviceBench;
  const { stream } = streamSuite((made) => {
    bench = made;
  });

  it('a node that is unplugged: queued buffers come back with the ERROR flag, every command is ENODEV', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.file.ready(0x10);
    await turns();
    const flags = bench.takeEvents().map((event) => [event.readUInt32LE(8), event.readUInt32LE(20) & 0x40]);
    assert.deepEqual(flags, [
      [0, 0x40],
      [1, 0x40],
    ]);
    assert.equal((await bench.ioctl(session, 4, format)).status, ENODEV);
    assert.equal((await bench.command(u32(2, 0, session, 0), 0)).length, 0);
  });

  it('one ENODEV of a node that is there is the errno of that call, and the session lives', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    for (const nr of [5, 27]) bench.node.ioctls.set(nr, () => ENODEV);
    bench.node.controls = () => ENODEV;
    assert.equal((await bench.ioctl(session, 5, format)).status, ENODEV);
    assert.equal((await bench.ioctl(session, 27, Buffer.alloc(8))).status, ENODEV);
    assert.equal((await bench.ioctl(session, 71, Buffer.alloc(32))).status, ENODEV);
    assert.deepEqual(bench.takeEvents(), []);
    assert.equal((await bench.ioctl(session, 4, format)).status, 0);
    bench.node.file.frame();
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => [event.readUInt32LE(8), event.readUInt32LE(20) & 0x40]),
      [[0, 0]],
    );
  });

  it('ENODEV of DQBUF too: buffers stay queued, nothing spins, and the stream goes on', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.dequeueErrno = ENODEV;
    bench.node.file.frame();
    await turns();
    assert.deepEqual(bench.takeEvents(), []);
    const { length } = bench.node.file.calls;
    await turns(50);
    assert.equal(bench.node.file.calls.length, length);
    bench.node.dequeueErrno = 0;
    bench.node.file.frame();
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.readUInt32LE(8)),
      [0, 1],
    );
  });

  it('ENODEV of a node that is gone, before its watcher says so: the session ends with that call', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.ioctls.set(5, () => ENODEV);
    bench.node.hungUp = true;
    assert.equal((await bench.ioctl(session, 5, format)).status, ENODEV);
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.readUInt32LE(20) & 0x40),
      [0x40, 0x40],
    );
    const { length } = bench.node.file.calls;
    assert.equal((await bench.ioctl(session, 4, format)).status, ENODEV);
    assert.equal(bench.node.file.calls.length, length, 'the node is not asked any more');
  });

  it('a node that says EBUSY to a session: it is asked who has it', async () => {
    bench.start();
    const session = await bench.open();
    assert.equal((await bench.ioctl(session, 4, format)).status, 0);
    assert.equal(bench.node.busyReports, 0);
    bench.node.ioctls.set(5, () => EBUSY);
    assert.equal((await bench.ioctl(session, 5, format)).status, EBUSY);
    assert.equal(bench.node.busyReports, 1);
  });

  it('EBUSY that may be of the guest’s own making blames nobody', async () => {
    bench.start();
    const [session, other] = [await bench.open(), await bench.open()];
    await bench.ioctl(session, 8, u32(2, 1, 1, 0, 0));
    bench.node.ioctls.set(5, () => EBUSY);
    for (const each of [session, other])
      assert.equal((await bench.ioctl(each, 5, format)).status, EBUSY, 'a queue has buffers');
    let closed = () => {};
    bench.node.closing = new Promise((resolve) => {
      closed = resolve;
    });
    bench.offer(u32(2, 0, session, 0), 0);
    await bench.ioctl(other, 5, format);
    assert.equal(bench.node.busyReports, 0, 'the hardware has not let go of them');
    closed();
    await turns();
    await bench.ioctl(other, 5, format);
    assert.equal(bench.node.busyReports, 1);
  });

  it('a driver that gives up on a queue (EIO): its buffers come back with the ERROR flag', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.dequeueErrno = 5;
    bench.node.file.ready(1);
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.readUInt32LE(20) & 0x40),
      [0x40, 0x40],
    );
  });
});
