/** An ioctl that the hardware holds for seconds: vim2m's STREAMOFF, which waits for its job. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { filled, join, u32 } from './bytes.js';
import { DaemonProcess } from './daemon-process.js';
import { Guest } from './guest.js';
import { timed } from './until.js';
import { ETIMEDOUT, format, Nr, requestBuffers, v4l2Buffer } from './v4l2.js';

const OUTPUT = 2;
const CAPTURE = 1;
const RGB565 = 0x5042_4752;
/** V4L2_CID_USER_BASE + 0x1000: "Transaction Time" in milliseconds. */
const TRANSACTION_TIME = 0x0098_1900;
const JOB_MS = 6000;

function vim2m(): string | undefined {
  try {
    execFileSync('modprobe', ['vim2m'], { stdio: 'ignore' });
  } catch {
    // Without the module there is no node either.
  }
  const sysfs = '/sys/class/video4linux';
  const isVim2m = (name: string) => readFileSync(`${sysfs}/${name}/name`, 'latin1').startsWith('vim2m');
  const found = existsSync(sysfs) ? readdirSync(sysfs).find(isVim2m) : undefined;
  return found && `/dev/${found}`;
}

describe('device: deadline', () => {
  let daemon: DaemonProcess;
  let guest: Guest;
  let socket: string;

  before(async function () {
    this.timeout(60_000);
    const node = vim2m();
    if (!node) {
      console.error('SKIPPED: test/device "deadline": no node of the driver vim2m (run it in test/lab)');
      return this.skip();
    }
    socket = `/tmp/vmb-deadline-${process.pid}.sock`;
    const pairs = [{ device: node, socket: { path: socket } }];
    const options = { pairs, sharedMemorySize: 64 << 20, mmap: 'auto', frontend: 'auto', memSlots: false };
    daemon = await DaemonProcess.start(options, []);
    guest = await Guest.boot(socket, { protocol: 0x40_0629n });
  });
  after(async () => {
    guest?.close();
    await daemon?.stop();
  });

  it(`a STREAMOFF of ${JOB_MS} ms is answered after 4 s, the rest of the device at once, and nothing is written late`, async () => {
    const session = await guest.open();
    for (const type of [OUTPUT, CAPTURE]) {
      const set = await guest.ioctl(session, Nr.S_FMT, format(type, { 8: u32(64, 64, RGB565) }));
      assert.equal(set.status, 0);
      assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(1, type))).status, 0);
      const queued = await guest.ioctl(session, Nr.QBUF, v4l2Buffer({ type, bytesused: 64 * 64 * 2 }));
      assert.equal(queued.status, 0);
    }
    assert.equal((await guest.ioctl(session, Nr.S_CTRL, u32(TRANSACTION_TIME, JOB_MS))).status, 0);
    for (const type of [OUTPUT, CAPTURE])
      assert.equal((await guest.tell(session, Nr.STREAMON, u32(type))).status, 0);

    const started = performance.now();
    const slow = guest.lay(join(u32(3, 0, session, Nr.STREAMOFF), u32(CAPTURE)), 8);
    guest.commandq.offer(slow.head);
    guest.commandq.kick();
    while (performance.now() - started < 3000) {
      const { ms } = await timed(() => guest.vmm.config());
      assert.ok(ms < 500, `GET_CONFIG took ${ms} ms`);
    }
    const length = await guest.answered(slow.head, 8000);
    const waited = performance.now() - started;
    assert.ok(waited > 3900 && waited < 4900, `${waited} ms`);
    assert.deepEqual(guest.reply(slow.room, 8, length).bytes, u32(ETIMEDOUT, 0));
    guest.vmm.ram.write(slow.room, filled(8, 0x99));

    const { value, ms } = await timed(() => guest.ioctl(session, Nr.G_FMT, format(CAPTURE)));
    assert.deepEqual([value.status, ms < 500], [ETIMEDOUT, true], 'the session is degraded: no further wait');
    // The job ends, the session goes on.
    let status = ETIMEDOUT;
    while (status === ETIMEDOUT && performance.now() - started < JOB_MS + 5000)
      ({ status } = await guest.ioctl(session, Nr.G_FMT, format(CAPTURE)));
    assert.equal(status, 0);
    assert.ok(guest.vmm.ram.read(slow.room, 8).equals(filled(8, 0x99)), 'the late result goes nowhere');
    assert.deepEqual(
      guest.events.filter((event) => event.readUInt32LE(0) !== 1),
      [],
    );
    await guest.shut(session);
  });
});
