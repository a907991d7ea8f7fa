/** The lines of the audit, over a fake node. */
import assert from 'node:assert/strict';
import { AUDIT_WINDOW_MS, MAX_AUDIT_LINES } from '../../../src/media/policy.js';
import { logLines } from '../../support/log-lines.js';
import { buffer, DeviceBench, turns, u32 } from './bench.js';
import { pass, startClock, stopClock } from './clock.js';
import { FakeTransport } from './fake-transport.js';

const EACCES = 13;
const audit = { device: '/dev/video7', socket: '/run/a.sock', vmm: 42 };

describe('the audit', () => {
  const lines = logLines();
  let bench: DeviceBench;

  beforeEach(() => {
    stopClock();
    bench = new DeviceBench('auto', new FakeTransport(), { audit });
    bench.start();
  });
  afterEach(() => {
    bench.close();
    startClock();
  });

  const said = () => lines.map(({ level: _, device: __, socket: ___, vmm: ____, ...line }) => line);
  const close = (session: number) => bench.command(u32(2, 0, session, 0), 8);
  const stream = async (session: number) => {
    await bench.ioctl(session, 8, u32(2, 1, 1, 0, 0));
    for (const index of [0, 1]) await bench.ioctl(session, 15, buffer(index));
    await bench.tell(session, 18, u32(1));
  };

  it('has a bound for a guest that opens and closes without end, and says how many lines it left out', async () => {
    const times = MAX_AUDIT_LINES;
    for (let n = 0; n < times; n++) await close(await bench.open());
    assert.equal(lines.length, MAX_AUDIT_LINES);
    pass(AUDIT_WINDOW_MS);
    await bench.open();
    const [last, next] = lines.slice(-2);
    assert.deepEqual(
      [last!.message, last!.level, last!.lines],
      ['lines of the audit were left out', 'warn', 2 * times - MAX_AUDIT_LINES],
    );
    assert.equal(next!.message, 'a guest has opened the device');
  });

  it('says what it left out when the VMM leaves', async () => {
    for (let n = 0; n < MAX_AUDIT_LINES; n++) await close(await bench.open());
    bench.device.disconnected();
    await bench.device.closed();
    assert.equal(lines.at(-1)!.lines, MAX_AUDIT_LINES);
  });

  it('names an OPEN that was refused, and its errno', async () => {
    bench.node.openErrno = EACCES;
    assert.equal((await bench.command(u32(1, 0), 16)).status, EACCES);
    assert.deepEqual(said(), [{ message: 'a guest was refused the device', session: 1, errno: 'EACCES' }]);
  });

  it('has a line for OPEN, the first STREAMON, the end of the stream and CLOSE, and whose they are', async () => {
    const session = await bench.open();
    pass(1000);
    await stream(session);
    await bench.tell(session, 18, u32(1));
    bench.node.file.frame();
    await turns();
    bench.takeEvents();
    await bench.ioctl(session, 15, buffer(0));
    bench.node.file.frame();
    await turns();
    bench.takeEvents();
    pass(2500);
    await bench.tell(session, 19, u32(1));
    await bench.tell(session, 19, u32(1));
    await close(session);
    assert.deepEqual(said(), [
      { message: 'a guest has opened the device', session },
      { message: 'a guest streams', session },
      { message: 'the stream of a guest has ended', session, seconds: 2.5, frames: 2 },
      { message: 'a guest has closed the device', session, seconds: 3.5 },
    ]);
    for (const { device, socket, vmm } of lines) assert.deepEqual({ device, socket, vmm }, audit);
  });

  it('ends a stream that nobody has ended: at CLOSE, at a reset, when the device is unplugged', async () => {
    const ends: ((session: number) => unknown)[] = [
      close,
      () => bench.device.reset(),
      () => bench.node.file.ready(0x10),
    ];
    for (const end of ends) {
      const session = await bench.open();
      await stream(session);
      lines.length = 0;
      await end(session);
      await turns();
      const ended = lines.filter(({ message }) => message === 'the stream of a guest has ended');
      assert.equal(ended.length, 1);
      bench.takeEvents();
    }
  });

  it('a device without an audit says nothing', async () => {
    bench.close();
    bench = new DeviceBench();
    bench.start();
    await close(await bench.open());
    assert.deepEqual(lines, []);
  });
});
