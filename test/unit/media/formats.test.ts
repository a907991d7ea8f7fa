/**
 * Formats that a policy denies to the guest. The driver is a fake that adjusts formats it does not have, as real
 * drivers do.
 */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { type Access, defaultPolicy, type Entry } from '../../../src/media/policy.js';
import { DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const EINVAL = 22;
const [ENUM_FMT, G_FMT, S_FMT, REQBUFS, STREAMON, TRY_FMT, SIZES, INTERVALS, CREATE] = [
  2, 4, 5, 8, 18, 64, 74, 75, 92,
];
const VIDEO = 1;
const PLANES = 9;
const META = 13;
const VBI = 4;
const ENUM_ALL = 0x8000_0000;

const code = (fourcc: string) => Buffer.from(fourcc, 'latin1').readUInt32LE();
const text = (value: number) => u32(value).toString('latin1');
const entry = (fourcc: string): Entry => ({ mask: 0xffff_ffff, value: code(fourcc) });
/** Byte offset of the fourcc in struct v4l2_format, by buffer type. */
const at: Readonly<Record<number, number>> = { [VIDEO]: 16, [PLANES]: 16, [META]: 8 };

/** Byte offset of sizeimage, of the first plane's sizeimage, and of buffersize. The number of planes is at 188. */
const sizeAt: Readonly<Record<number, number>> = { [VIDEO]: 28, [PLANES]: 28, [META]: 12 };

const formats: Readonly<Record<number, readonly string[]>> = {
  [VIDEO]: ['YUYV', 'MJPG', 'NV12', 'H264'],
  [PLANES]: ['NM12', 'YM12'],
  [META]: ['UVCH', 'UVCM'],
};

describe('formats', () => {
  let bench: DeviceBench;
  let session: number;
  /** The driver's current format, by buffer type. */
  const current = new Map<number, number>();

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
    bench.close();
  });

  async function boot(access: Partial<Access>) {
    bench?.close();
    const policy = { ...defaultPolicy, formats: { allow: null, deny: [], ...access } };
    bench = new DeviceBench('auto', new FakeTransport(), { policy });
    current.clear();
    for (const [type, list] of Object.entries(formats)) current.set(Number(type), code(list[0]!));
    for (const nr of [G_FMT, S_FMT, TRY_FMT]) bench.node.ioctls.set(nr, (payload) => format(nr, payload));
    bench.node.ioctls.set(ENUM_FMT, (payload) => {
      const index = payload.readUInt32LE(0);
      const found = formats[payload.readUInt32LE(4)]?.[index & 0xffff];
      if (!found) return EINVAL;
      payload.writeUInt32LE(index & 0xffff, 0);
      payload.writeUInt32LE(code(found), 44);
      return 0;
    });
    bench.start();
    session = await bench.open();
  }

  function format(nr: number, payload: Buffer): number {
    const type = payload.readUInt32LE(0);
    if (!formats[type]) return type === VBI ? 0 : EINVAL;
    const wanted = payload.readUInt32LE(at[type]!);
    const known = formats[type].map(code).includes(wanted);
    const taken = nr === G_FMT ? current.get(type)! : known ? wanted : code(formats[type][0]!);
    payload.writeUInt32LE(taken, at[type]!);
    payload.writeUInt32LE(4096, sizeAt[type]!);
    if (type === PLANES) payload.writeUInt8(1, 188);
    if (nr === S_FMT) current.set(type, taken);
    return 0;
  }

  const ask = (nr: number, payload: Buffer) => bench.ioctl(session, nr, payload);
  const formatOf = (type: number, fourcc: string) => {
    const payload = Buffer.alloc(208);
    payload.writeUInt32LE(type, 0);
    payload.writeUInt32LE(code(fourcc), at[type] ?? 20);
    return payload;
  };
  const adjusted = async (nr: number, type: number, fourcc: string) => {
    const { status, payload } = await ask(nr, formatOf(type, fourcc));
    return status === 0 ? text(payload.readUInt32LE(at[type]!)) : status;
  };
  const describeFormat = (type: number, index: number) => {
    const payload = Buffer.alloc(64);
    payload.set(u32(index, type));
    payload.writeUInt32LE(0x2006, 48);
    return ask(ENUM_FMT, payload);
  };
  const enumerate = async (type: number) => {
    const found: string[] = [];
    for (;;) {
      const { status, payload } = await describeFormat(type, found.length);
      if (status !== 0) return found;
      assert.equal(payload.readUInt32LE(0), found.length);
      found.push(text(payload.readUInt32LE(44)));
    }
  };

  it('ENUM_FMT lists the others densely, type by type', async () => {
    await boot({ deny: [entry('YUYV'), entry('NV12'), entry('YM12'), entry('UVCH')] });
    assert.deepEqual(await enumerate(VIDEO), ['MJPG', 'H264']);
    assert.deepEqual(await enumerate(PLANES), ['NM12']);
    assert.deepEqual(await enumerate(META), ['UVCM']);
    for (const index of [2, 99, 0x7fff_ffff, 0xffff_ffff])
      assert.equal((await describeFormat(VIDEO, index)).status, EINVAL);
    const { payload } = bench.node.file.asked(ENUM_FMT)[0] as { payload: Uint8Array };
    assert.equal(
      Buffer.from(payload).readUInt32LE(48),
      0x2006,
      'the media bus code that the guest asked for',
    );
  });

  it('ENUM_FMT with the flag of Linux 6.14: cleared where the driver clears it', async () => {
    await boot({ deny: [entry('YUYV')] });
    const { status, payload } = await describeFormat(VIDEO, ENUM_ALL + 1);
    assert.deepEqual([status, payload.readUInt32LE(0), text(payload.readUInt32LE(44))], [0, 1, 'NV12']);
  });

  for (const nr of [S_FMT, TRY_FMT])
    it(`ioctl ${nr} adjusts what is denied to the first of the list, as what there is not`, async () => {
      await boot({ deny: [entry('YUYV'), entry('NM12'), entry('UVCH')] });
      assert.equal(await adjusted(nr, VIDEO, 'NV12'), 'NV12');
      assert.equal(await adjusted(nr, VIDEO, 'YUYV'), 'MJPG');
      assert.equal(await adjusted(nr, VIDEO, 'what'), 'MJPG', 'the driver would take YUYV');
      assert.equal(await adjusted(nr, PLANES, 'NM12'), 'YM12');
      assert.equal(await adjusted(nr, META, 'UVCH'), 'UVCM');
      if (nr === S_FMT) assert.equal(text(current.get(VIDEO)!), 'MJPG');
      else assert.equal(text(current.get(VIDEO)!), 'YUYV');
    });

  it('a type of which nothing is left is EINVAL, and not changed; types without a fourcc are the driver’s affair', async () => {
    await boot({ allow: [entry('NM12')] });
    for (const nr of [S_FMT, TRY_FMT]) assert.equal(await adjusted(nr, VIDEO, 'NV12'), EINVAL);
    assert.deepEqual(bench.node.file.asked(S_FMT), []);
    assert.deepEqual(await enumerate(VIDEO), []);
    assert.equal((await ask(S_FMT, formatOf(VBI, 'GREY'))).status, 0);
  });

  it('a driver that takes nothing but what is denied: EINVAL', async () => {
    await boot({ deny: [entry('YUYV')] });
    bench.node.ioctls.set(TRY_FMT, (payload) => {
      payload.writeUInt32LE(code('YUYV'), 16);
      return 0;
    });
    assert.equal(await adjusted(TRY_FMT, VIDEO, 'MJPG'), EINVAL);
  });

  it('G_FMT tells the truth; with a format that is denied there are neither buffers nor a stream', async () => {
    await boot({ deny: [entry('YUYV')] });
    assert.equal(await adjusted(G_FMT, VIDEO, 'MJPG'), 'YUYV');
    assert.equal((await ask(REQBUFS, u32(2, VIDEO, 1, 0, 0))).status, EINVAL);
    assert.equal((await ask(REQBUFS, u32(0, VIDEO, 1, 0, 0))).status, 0, 'giving back is no use of it');
    assert.deepEqual(bench.node.file.buffers, []);
    await adjusted(S_FMT, VIDEO, 'MJPG');
    assert.equal((await ask(REQBUFS, u32(2, VIDEO, 1, 0, 0))).status, 0);
    // Now another program of the host, or the stream of a decoder, changes the format.
    current.set(VIDEO, code('YUYV'));
    assert.equal((await bench.tell(session, STREAMON, u32(VIDEO))).status, EINVAL);
    assert.equal(bench.node.file.streaming, false);
    current.set(VIDEO, code('H264'));
    assert.equal((await bench.tell(session, STREAMON, u32(VIDEO))).status, 0);
  });

  it('CREATE_BUFS for a format that is denied, and its frame sizes and intervals: EINVAL', async () => {
    await boot({ deny: [entry('NV12')] });
    const create = (count: number, fourcc: string) => {
      const raw = Buffer.alloc(256);
      raw.set(u32(0, count, 1), 0);
      raw.set(formatOf(VIDEO, fourcc), 16);
      return ask(CREATE, raw);
    };
    for (const count of [0, 2]) assert.equal((await create(count, 'NV12')).status, EINVAL);
    assert.deepEqual(bench.node.file.asked(CREATE), []);
    assert.equal((await create(2, 'MJPG')).status, 0);
    for (const [nr, size] of [
      [SIZES, 44],
      [INTERVALS, 52],
    ] as const) {
      const of = (fourcc: string) => Buffer.concat([u32(0, code(fourcc)), Buffer.alloc(size - 8)]);
      assert.equal((await ask(nr, of('NV12'))).status, EINVAL);
      assert.equal((await ask(nr, of('MJPG'))).status, 0);
    }
  });

  it('without a policy nothing is asked but what the guest asks', async () => {
    await boot({});
    assert.equal(await adjusted(S_FMT, VIDEO, 'what'), 'YUYV');
    await ask(REQBUFS, u32(2, VIDEO, 1, 0, 0));
    const before = bench.node.file.calls.length;
    assert.equal((await bench.tell(session, STREAMON, u32(VIDEO))).status, 0);
    const nrs = bench.node.file.calls.slice(before).map((call) => ('nr' in call ? call.nr : call.kind));
    assert.deepEqual(nrs.slice(0, 2), [STREAMON, 'watch']);
    assert.deepEqual(await enumerate(VIDEO), formats[VIDEO]);
  });
});
