/** Frames through a real QEMU's SHM BAR, compared byte for byte. */
import assert from 'node:assert/strict';
import { nodeNamed, provide } from '../lab/support/kernel-modules.js';
import { Bridge } from './support/bridge.js';
import { Capture } from './support/capture.js';
import { Guest } from './support/guest.js';
import { requires, VIVID, VIVID_CONTIGUOUS, VIVID_NODE } from './support/host.js';
import { hostBuffer } from './support/host-buffer.js';
import { colourBars, difference, rgb3, yuyv } from './support/test-pattern.js';
import { BARS_100, Control, Movement, Text } from './support/vivid.js';

/** QEMU's vhost-user table has room for six mappings besides the RAM's two regions. */
const BUFFERS = 4;
const [WIDTH, HEIGHT] = [320, 240];
const EVENT_BUFFERS = 16;

/**
 * `memory`: memory type of the host's queue. A vivid with contiguous memory takes no USERPTR, so its frames are copied.
 */
const ways = [
  { mode: 'arena', module: VIVID, memory: 'userptr', copied: false },
  { mode: 'arena', module: VIVID_CONTIGUOUS, memory: 'mmap', copied: true },
  { mode: 'direct', module: VIVID, memory: 'mmap', copied: false },
] as const;

for (const { mode, module, memory, copied } of ways) {
  describe(`frames through a real QEMU, --mmap ${mode}, ${copied ? 'one copy' : 'no copy'}`, function () {
    this.timeout(120_000);
    let camera: string;
    let bridge: Bridge;
    let guest: Guest;
    let capture: Capture;

    before(async function () {
      requires(this, 'qemu');
      provide(this, module);
      camera = nodeNamed(VIVID_NODE);
      bridge = await Bridge.serve(camera, '--mmap', mode, '--shm-size', '256M');
      guest = await Guest.boot(bridge.socket);
    });

    after(async () => {
      await guest?.close();
      await bridge?.close();
    });

    async function stream(format: { fourcc: string }, rate: number): Promise<void> {
      const { width, height, sizeimage } = await capture.setFormat(WIDTH, HEIGHT, format.fourcc);
      assert.deepEqual([width, height], [WIDTH, HEIGHT]);
      assert.equal(await capture.setRate(rate), rate);
      await capture.request(BUFFERS);
      const lengths = capture.mappings.map(({ length }) => length);
      assert.deepEqual(lengths, Array(BUFFERS).fill(sizeimage));
      await capture.start();
    }

    async function end(): Promise<void> {
      await capture.stop();
      await capture.release();
    }

    describe('show', () => {
      beforeEach(async () => {
        capture = await Capture.open(guest);
        await capture.setControl(Control.TEST_PATTERN, BARS_100);
      });

      afterEach(async () => {
        await capture.close();
        assert.deepEqual(guest.driver.complaints, []);
      });

      for (const format of [rgb3, yuyv]) {
        it(`vivid's colour bars in ${format.fourcc}, every byte as the format defines it`, async () => {
          await capture.setControl(Control.OSD_TEXT_MODE, Text.NONE);
          await capture.setControl(Control.HORIZONTAL_MOVEMENT, Movement.NONE);
          await stream(format, 10);
          const expected = colourBars(format, WIDTH, HEIGHT);
          for (let frame = 0; frame < 2 * BUFFERS; frame++) {
            const { index, bytesused } = await capture.next();
            assert.equal(bytesused, expected.length);
            const seen = await capture.read(index);
            assert.ok(seen.equals(expected), `frame ${frame}: ${difference(seen, expected)}`);
            await capture.queue(index);
          }
          await end();
        });
      }

      it('movement: no two frames the same, with sequence numbers that count by one', async () => {
        await capture.setControl(Control.OSD_TEXT_MODE, Text.ALL);
        await capture.setControl(Control.HORIZONTAL_MOVEMENT, Movement.LEFT_FAST);
        await stream(rgb3, 2);
        const seen: Buffer[] = [];
        for (let frame = 0; frame < BUFFERS + 2; frame++) {
          const { index, sequence } = await capture.next();
          assert.equal(sequence, frame);
          seen.push(await capture.read(index));
          await capture.queue(index);
        }
        for (const [i, frame] of seen.entries())
          for (const other of seen.slice(0, i)) assert.ok(!frame.equals(other), `frame ${i} came before`);
        await end();
      });

      it('byte for byte what the same buffers are on the host', async function () {
        requires(this, 'gcc');
        await stream(rgb3, 10);
        for (let frame = 0; frame < BUFFERS; frame++) await capture.queue((await capture.next()).index);
        const held: number[] = [];
        while (held.length < BUFFERS) held.push((await capture.next()).index);
        assert.deepEqual(held.toSorted(), [...capture.mappings.keys()]);
        for (const index of held) {
          const host = hostBuffer(camera, bridge.program.pid, index);
          assert.equal(host.memory, memory);
          const seen = await capture.read(index);
          assert.ok(seen.equals(host.bytes), `buffer ${index}: ${difference(seen, host.bytes)}`);
          assert.ok(new Set(seen).size > 1, 'a frame, not an empty buffer');
        }
        await end();
      });

      it(`to the host ${copied ? 'nothing' : 'all'} that the guest writes into a buffer`, async function () {
        requires(this, 'gcc');
        await stream(rgb3, 10);
        const { index } = await capture.next();
        const mark = Buffer.from('written by the guest');
        await guest.machine.writeWindow(capture.mappings[index]!.driverAddress + 1000, mark);
        const { bytes } = hostBuffer(camera, bridge.program.pid, index);
        assert.equal(bytes.subarray(1000, 1000 + mark.length).equals(mark), !copied);
        await end();
      });
    });

    describe('leave', () => {
      it('neither side with anything to complain about', async () => {
        assert.equal(guest.driver.lateAnswers, 0);
        assert.equal(guest.driver.postedEvents, EVENT_BUFFERS);
        assert.deepEqual(await guest.qemu.quit(), { code: 0, signal: null });
        assert.equal(guest.qemu.program.stderr, '');
        assert.deepEqual(await bridge.stop(1000), { code: 0, signal: null });
      });
    });
  });
}
