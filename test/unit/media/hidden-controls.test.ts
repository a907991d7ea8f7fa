/**
 * Controls that a policy denies to the guest. No ioctl reaches them, and they look like controls that do not exist. The
 * driver is a fake.
 */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { type Access, defaultPolicy, type Entry } from '../../../src/media/policy.js';
import { DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';
import { FakeControls } from './support/fake-controls.js';

const EINVAL = 22;

const NEXT = 0x8000_0000;
const BOTH = 0xc000_0000;
/** V4L2_CID_PRIVATE_BASE. */
const ALIAS = 0x0800_0000;
const NOBODY = 0x0fff_ffff;
const CLASS = 6;
const MENU = 3;

// biome-ignore format: a table
const table = [
  { id: 0x0098_0001, type: CLASS },
  { id: 0x0098_0900, type: 1 },
  { id: 0x0098_0901, type: 1 },
  { id: 0x0098_f900, type: 4 },
  { id: 0x0098_f903, type: 5 },
  { id: 0x0098_f904, type: MENU },
  { id: 0x0098_f908, type: 0x102, payload: true },
  { id: 0x0098_f90c, type: 1 },
  { id: 0x009a_0001, type: CLASS },
  { id: 0x009a_0908, type: 1 },
  { id: 0x00f0_0001, type: CLASS },
  { id: 0x00f0_f041, type: 4 },
];
const ids = table.map(({ id }) => id);

const id = (value: number): Entry => ({ mask: 0x0fff_ffff, value });
const classOf = (value: number): Entry => ({ mask: 0x0fff_0000, value });
const all: Entry = { mask: 0, value: 0 };

describe('hidden controls', () => {
  let bench: DeviceBench;
  let session: number;
  let controls: FakeControls;
  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
    bench.close();
  });
  async function boot(access: Partial<Access>) {
    bench?.close();
    const policy = { ...defaultPolicy, controls: { allow: null, deny: [], ...access } };
    bench = new DeviceBench('auto', new FakeTransport(), { policy });
    bench.start();
    session = await bench.open();
    controls = new FakeControls(bench.node, table);
  }
  const ask = (nr: number, payload: Buffer) => bench.ioctl(session, nr, payload);
  const statusOf = async (nr: number, payload: Buffer) => (await ask(nr, payload)).status;
  const deny = (...entries: Entry[]) => boot({ deny: entries });
  const allow = (...entries: Entry[]) => boot({ allow: entries });

  const query = (nr: number, given: number) => {
    const payload = Buffer.alloc(nr === 36 ? 68 : 232);
    payload.writeUInt32LE(given >>> 0, 0);
    return ask(nr, payload);
  };
  const enumerate = async (nr: number, flags: number) => {
    const found: number[] = [];
    for (let last = 0; found.length < 99; ) {
      const { status, payload } = await query(nr, (last | flags) >>> 0);
      if (status !== 0) return found;
      last = payload.readUInt32LE(0);
      assert.equal(payload.toString('latin1', 8, 8 + 40).split('\0')[0], `control ${last.toString(16)}`);
      found.push(last);
    }
    return assert.fail('no end');
  };
  const extended = async (nr: number, given: readonly number[], which = 0) => {
    const array = Buffer.concat(given.map((each) => Buffer.concat([u32(each, 0, 0, 7, 0)])));
    const header = Buffer.concat([u32(which, given.length, 0x77, 0, 0, 0), Buffer.alloc(8)]);
    const { status, payload } = await ask(nr, Buffer.concat([header, array]));
    const answered = given.map((_, n) => payload.readUInt32LE(32 + 20 * n));
    assert.deepEqual(answered, given, 'ids are the guest’s own');
    return { status, errorIdx: payload.readUInt32LE(8) };
  };

  for (const nr of [36, 103])
    it(`ioctl ${nr} passes over them, with NEXT flags and without`, async () => {
      await deny(id(0x98_0900), id(0x98_f908), classOf(0x9a_0000));
      const hidden = [0x98_0900, 0x98_f908, 0x9a_0001, 0x9a_0908];
      assert.deepEqual(
        await enumerate(nr, BOTH),
        ids.filter((each) => !hidden.includes(each)),
      );
      assert.ok((await enumerate(nr, NEXT)).every((each) => !hidden.includes(each)));
      for (const each of ids)
        assert.equal((await query(nr, each)).status, hidden.includes(each) ? EINVAL : 0, each.toString(16));
      assert.equal((await query(nr, (0x00f0_f041 | BOTH) >>> 0)).status, EINVAL, 'behind the last');
    });

  it('a class without controls has no heading, one with a single control has', async () => {
    await allow(id(0x9a_0908));
    assert.deepEqual(await enumerate(103, BOTH), [0x9a_0001, 0x9a_0908]);
    assert.equal((await query(103, 0x98_0001)).status, EINVAL);
    assert.equal((await query(36, 0x9a_0001)).status, 0);
    for (const [heading, errno] of [
      [0x9a_0001, 0],
      [0x98_0001, EINVAL],
    ] as const) {
      assert.equal(await statusOf(27, u32(heading, 0)), errno, 'as the driver says, or nobody');
      assert.equal(await statusOf(90, Buffer.concat([u32(3, heading), Buffer.alloc(24)])), errno);
    }
    assert.equal((await extended(71, [], 0x98_0000)).status, EINVAL, 'any of the class?');
    assert.equal((await extended(71, [], 0x9a_0000)).status, 0);
    assert.equal((await extended(71, [], 0)).status, 0);
    await deny(all);
    assert.deepEqual(await enumerate(103, BOTH), []);
  });

  it('G_CTRL, S_CTRL and QUERYMENU have nobody of that name, and never reach it', async () => {
    await deny(id(0x98_0900), id(0x98_f904));
    for (const nr of [27, 28]) {
      const { status } = await ask(nr, u32(0x98_0900, 5));
      assert.equal(status, EINVAL);
      const { status: other, payload } = await ask(nr, u32(0x98_0901, 6));
      assert.deepEqual([other, payload.readUInt32LE(0)], [0, 0x98_0901]);
    }
    assert.deepEqual([...controls.values], [[0x98_0901, 6]]);
    assert.equal(await statusOf(37, Buffer.concat([u32(0x98_f904, 1), Buffer.alloc(36)])), EINVAL);
  });

  it('flags in an id reach nothing: uvcvideo would take the control behind it', async () => {
    await deny(id(0x98_0901));
    for (const flag of [0x1000_0000, 0x4000_0000, NEXT]) {
      const flagged = (0x98_0900 | flag) >>> 0;
      assert.equal(await statusOf(28, u32(flagged, 5)), EINVAL);
      assert.equal((await extended(72, [flagged])).status, EINVAL);
      assert.equal(await statusOf(37, Buffer.concat([u32(flagged, 1), Buffer.alloc(36)])), EINVAL);
      assert.equal(await statusOf(90, Buffer.concat([u32(3, flagged), Buffer.alloc(24)])), EINVAL);
    }
    const reached = [...bench.node.file.asked(28), ...bench.node.file.asked(37)].map((call) =>
      Buffer.from((call as { payload: Uint8Array }).payload).readUInt32LE(0),
    );
    assert.deepEqual([...new Set(reached)], [NOBODY]);
    assert.deepEqual(
      controls.calls.map(({ array }) => Buffer.from(array).readUInt32LE(0)),
      [NOBODY, NOBODY, NOBODY],
    );
    assert.deepEqual([[...controls.values], controls.subscribed], [[], []]);
  });

  it('G/S/TRY_EXT_CTRLS: errno and error_idx of a control that there is not, wherever in the array', async () => {
    await deny(id(0x98_0901), classOf(0x9a_0000));
    for (const which of [0, 0x98_0000, 0x0f00_0000])
      for (const [nr, errorIdx] of [
        [71, 3],
        [72, 3],
        [73, 1],
      ] as const) {
        const given = [0x98_0900, 0x98_0901, 0x98_f90c];
        assert.deepEqual(await extended(nr, given, which), { status: EINVAL, errorIdx });
      }
    assert.deepEqual(await extended(73, [0x98_0900, 0x98_f90c, 0x9a_0908]), {
      status: EINVAL,
      errorIdx: 2,
    });
    assert.equal((await extended(72, [0x98_0900, 0x98_f90c])).status, 0);
    assert.deepEqual([...controls.values.keys()], [0x98_0900, 0x98_f90c]);
    assert.ok(
      controls.calls.every(
        ({ array }) =>
          !Buffer.from(array).includes(u32(0x98_0901)) && !Buffer.from(array).includes(u32(0x9a_0908)),
      ),
    );
  });

  it('the aliases of old private controls count what is there, and reach nothing else', async () => {
    await deny(id(0x98_f900));
    // The kernel counts f900, f904 and f90c. 64-bit controls and controls with a payload have no alias.
    for (const [alias, real] of [
      [ALIAS, 0x98_f904],
      [ALIAS + 1, 0x98_f90c],
    ] as const) {
      const { status, payload } = await query(36, alias);
      assert.deepEqual([status, payload.readUInt32LE(0)], [0, alias]);
      assert.match(payload.toString('latin1', 8, 40), new RegExp(real.toString(16)));
      const set = await ask(28, u32(alias, alias % 10));
      assert.deepEqual([set.status, set.payload.readUInt32LE(0)], [0, alias]);
      assert.equal(controls.values.get(real), alias % 10);
    }
    assert.equal(controls.values.size, 2);
    for (const alias of [ALIAS + 2, ALIAS + 3, NOBODY]) {
      assert.equal((await query(36, alias)).status, EINVAL);
      assert.equal(await statusOf(28, u32(alias, 1)), EINVAL);
    }
    assert.equal((await extended(72, [ALIAS])).status, EINVAL);
    assert.equal(await statusOf(90, Buffer.concat([u32(3, ALIAS), Buffer.alloc(24)])), EINVAL);
  });

  it('SUBSCRIBE_EVENT: EINVAL for their events, other types of event have other ids', async () => {
    await deny(id(0x98_0900));
    const subscribe = (type: number, which: number) =>
      bench.tell(session, 90, Buffer.concat([u32(type, which), Buffer.alloc(24)]));
    assert.equal((await subscribe(3, 0x98_0900)).status, EINVAL);
    assert.deepEqual(controls.subscribed, []);
    assert.equal((await subscribe(3, 0x98_0901)).status, 0);
    bench.node.ioctls.set(90, () => 0);
    assert.equal((await subscribe(5, 0x98_0900)).status, 0);
  });

  it('a driver that ignores NEXT flags, or has no end, is asked a bounded number of times', async () => {
    await deny(id(0x98_0900));
    bench.node.ioctls.set(103, (payload) => {
      payload.writeUInt32LE(0x98_0900, 0);
      return 0;
    });
    assert.equal((await query(103, BOTH)).status, EINVAL);
    await deny(all);
    bench.node.ioctls.set(103, (payload) => {
      payload.writeUInt32LE((payload.readUInt32LE(0) & 0x0fff_ffff) + 1, 0);
      return 0;
    });
    assert.equal((await query(103, BOTH)).status, EINVAL);
    assert.ok(bench.node.file.asked(103).length <= 1024);
  });

  it('without a policy every id passes as it came, flags and aliases too', async () => {
    await boot({});
    assert.equal(await statusOf(28, u32(0x1098_0900, 9)), 0);
    assert.equal(await statusOf(28, u32(ALIAS, 8)), 0);
    assert.deepEqual(
      [...controls.values],
      [
        [0x98_0900, 9],
        [0x98_f900, 8],
      ],
    );
    assert.deepEqual(await enumerate(103, BOTH), ids);
    assert.equal(bench.node.file.asked(103).length, ids.length + 1, 'one question an answer');
  });
});
