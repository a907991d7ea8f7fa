import assert from 'node:assert/strict';
import type { NodeFile } from '../../src/native.js';
import { close, openNull, submit } from './support/node-file.js';
import { control, controlsRecord, u32, u64 } from './support/records.js';

const EINVAL = 22;
const ENOTTY = 25;

describe('addon: node calls on controls', () => {
  let file: NodeFile;
  const run = (call: unknown): Promise<number> => submit(file, call);

  beforeEach(async () => {
    file = await openNull();
  });
  afterEach(() => close(file));

  const controls = (
    header: Uint8Array,
    array: unknown,
    payloads: unknown,
    nr: unknown = 71,
  ): Promise<number> => run({ kind: 'controls', nr, controls: header, array, payloads });

  it('is one of three', async () => {
    for (const nr of [71, 72, 73])
      assert.equal(await controls(controlsRecord(0), new Uint8Array(0), [], nr), ENOTTY);
    for (const nr of [70, 74, 15, -1, '71']) {
      assert.equal(await controls(controlsRecord(0), new Uint8Array(0), [], nr), EINVAL);
    }
  });

  it('has as many controls as it says, at most 1024', async () => {
    const many = (n: number): [Uint8Array, null[]] => [new Uint8Array(n * 20), Array<null>(n).fill(null)];
    assert.equal(await controls(controlsRecord(1024), ...many(1024)), ENOTTY);
    assert.equal(await controls(controlsRecord(1025), ...many(1025)), EINVAL);
    assert.equal(await controls(controlsRecord(0xffffffff), ...many(1)), EINVAL);
    assert.equal(await controls(controlsRecord(2), ...many(1)), EINVAL);
    assert.equal(await controls(controlsRecord(1), new Uint8Array(24), [null]), EINVAL);
    assert.equal(await controls(controlsRecord(1), new Uint8Array(20), []), EINVAL);
    assert.equal(await controls(controlsRecord(1), new Uint8Array(20), [null, null]), EINVAL);
    assert.equal(await controls(controlsRecord(1), new Uint8Array(20), undefined), EINVAL);
    assert.equal(await controls(controlsRecord(1), new Uint8Array(20), [undefined]), EINVAL);
    assert.equal(await controls(controlsRecord(1), new Uint8Array(20), { length: 1 }), EINVAL);
    assert.equal(await controls(new Uint8Array(31), new Uint8Array(0), []), EINVAL);
  });

  it('has payloads of the size that the control says', async () => {
    const sized = (size: number, payload: unknown): Promise<number> =>
      controls(controlsRecord(1), control(size), [payload]);
    assert.equal(await sized(16, new Uint8Array(16)), ENOTTY);
    assert.equal(await sized(16, new Uint8Array(15)), EINVAL);
    assert.equal(await sized(16, new Uint8Array(17)), EINVAL);
    assert.equal(await sized(0, new Uint8Array(0)), ENOTTY);
    assert.equal(await sized(0xffffffff, new Uint8Array(16)), EINVAL);
    assert.equal(await sized(16, new Uint16Array(8)), EINVAL);
    assert.equal(await sized(16, 'payload'), EINVAL);
  });

  it('reaches no request', async () => {
    assert.equal(await controls(controlsRecord(0, 0x0f010000), new Uint8Array(0), []), EINVAL);
    assert.equal(await controls(controlsRecord(0, 0x0f000000), new Uint8Array(0), []), ENOTTY);
  });

  it("shows the caller's own pointers, sizes and values afterwards, and no descriptor", async () => {
    const header = controlsRecord(3);
    const array = Buffer.concat([control(16, 0xaaaan), control(24, 0xbbbbn), control(0, 0xccccn)]);
    const before = Buffer.from(array);
    const payload = new Uint8Array(16).fill(7);
    assert.equal(await controls(header, array, [payload, null, new Uint8Array(0)]), ENOTTY);
    assert.deepEqual(array, before);
    assert.deepEqual(payload, new Uint8Array(16).fill(7));
    assert.deepEqual([u32(header, 4), u32(header, 12), u64(header, 24)], [3, 0, 0x1122334455667788n]);
  });

  it('copies an array before an accessor can take it away', async () => {
    const array = control(8);
    const payloads: unknown[] = [null];
    Object.defineProperty(payloads, 0, {
      get: () => {
        structuredClone(array.buffer, { transfer: [array.buffer] });
        return new Uint8Array(8);
      },
    });
    assert.equal(await controls(controlsRecord(1), array, payloads), ENOTTY);
  });
});
