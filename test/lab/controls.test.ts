/**
 * Controls through the bridge: plain, menu, string and compound controls, in guest memory that is cut anywhere, and
 * every refusal.
 */
import assert from 'node:assert/strict';
import { type ControlRequest, controlIoctl } from '../../src/client/control-ioctls.js';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import type { Piece } from '../../src/client/pieces.js';
import { Errno } from '../../src/errno.js';
import { encoded } from '../../src/struct.js';
import {
  ControlFlag,
  control,
  extControl,
  MAX_CONTROLS,
  queryExtCtrl,
  querymenu,
  Which,
} from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, Stage } from './support/stage.js';
import { VividControl as V } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const { G_EXT_CTRLS: G, S_EXT_CTRLS: S, TRY_EXT_CTRLS: TRY } = Ioctl;
/** Size of vivid's fixed arrays: bytes of the matrix, elements of the pixel array. */
const MATRIX_BYTES = 8 * 16 * 2;
const PIXELS = 15 * 20;
/** The id of no control. */
const UNKNOWN = 0x0098_fff0;
const POINTER = 0x7f12_3456_789an;

describe('lab: controls', function () {
  this.timeout(30_000);
  let stage: Stage;
  let driver: GuestDriver;
  let session: number;
  let node: NativeNode;

  before(async function () {
    provide(this, VIVID);
    keepJournal();
    stage = await Stage.open(nodeNamed(CAMERA));
    driver = stage.driver;
    session = await driver.open();
    node = await NativeNode.open(nodeNamed(CAMERA));
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
    stage.verify();
  });
  after(async () => {
    await node?.close();
    await stage?.close();
    unload(VIVID);
  });

  const ask = (nr: number, requests: ControlRequest[], which: number = Which.CURRENT) =>
    controlIoctl(driver, session, nr, requests, { which });
  /** Guest memory in pieces of these lengths. The first piece starts 24 bytes before the end of a page. */
  const memory = (...lengths: number[]): Piece[] =>
    lengths.map((length, i) => {
      const page = driver.heap.allocate(8192 + length, 4096);
      return { address: i === 0 ? page + 4096 - 24 : page, length };
    });

  it('integers and booleans: set, read, read back natively', async () => {
    const set = await ask(S, [
      { id: V.INTEGER, value: -5n },
      { id: V.BOOLEAN, value: 0n },
      { id: V.BRIGHTNESS, value: 77n },
    ]);
    assert.equal(set.errno, 0);
    assert.deepEqual(
      [
        await node.getControl(V.INTEGER),
        await node.getControl(V.BOOLEAN),
        await node.getControl(V.BRIGHTNESS),
      ],
      [-5, 0, 77],
    );
    await node.setControl(V.BRIGHTNESS, 99);
    const got = await ask(G, [{ id: V.BRIGHTNESS }, { id: V.INTEGER }]);
    assert.deepEqual(
      got.controls.map(({ value }) => Number(BigInt.asIntN(32, value))),
      [99, -5],
    );
  });

  it('64-bit integers, the plain calls of older guests, and default values', async () => {
    const value = -0x1234_5678_9abc_def0n;
    assert.equal((await ask(S, [{ id: V.INTEGER64, value }])).errno, 0);
    assert.equal((await ask(G, [{ id: V.INTEGER64 }])).controls[0]!.value, value);
    await driver.call(session, Ioctl.S_CTRL, control, { id: V.VOLUME, value: 12 });
    assert.equal((await driver.call(session, Ioctl.G_CTRL, control, { id: V.VOLUME })).value, 12);
    const standard = await ask(G, [{ id: V.VOLUME }, { id: V.INTEGER64 }], Which.DEFAULT);
    assert.deepEqual(
      standard.controls.map((each) => each.value),
      [200n, 0n],
    );
  });

  it('a menu has holes: QUERYMENU answers as natively, item by item', async () => {
    for (const id of [V.MENU, V.INTEGER_MENU, V.BRIGHTNESS, UNKNOWN])
      for (let index = 0; index <= 9; index++) {
        const own = await node.ioctl(Ioctl.QUERYMENU, encoded(querymenu, { id, index }));
        const asked = driver.ioctl(session, Ioctl.QUERYMENU, encoded(querymenu, { id, index }));
        if (own.errno === 0) assert.deepEqual(await asked, own.payload);
        else assert.equal(await errnoOf(asked), own.errno, `item ${index} of 0x${id.toString(16)}`);
      }
    const hole = await errnoOf(driver.call(session, Ioctl.QUERYMENU, querymenu, { id: V.MENU, index: 2 }));
    assert.equal(hole, Errno.EINVAL);
  });

  it('the enumeration is the native one, control by control', async () => {
    const next = (id: number) =>
      encoded(queryExtCtrl, { id: (id | ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND) >>> 0 });
    let id = 0;
    let count = 0;
    for (; count < MAX_CONTROLS; count++) {
      const own = await node.ioctl(Ioctl.QUERY_EXT_CTRL, next(id));
      const asked = driver.ioctl(session, Ioctl.QUERY_EXT_CTRL, next(id));
      if (own.errno !== 0) {
        assert.equal(await errnoOf(asked), own.errno);
        break;
      }
      assert.deepEqual(await asked, own.payload, `after control 0x${id.toString(16)}`);
      id = queryExtCtrl.read(own.payload).id;
    }
    assert.ok(count > 50, `only ${count} controls`);
  });

  it('a string in three pieces that start in the middle of a page', async () => {
    const request = (payload?: Buffer): ControlRequest[] => [
      { id: V.STRING, value: POINTER, memory: memory(1, 3, 1), ...(payload && { payload }) },
    ];
    const set = await ask(S, request(Buffer.from('abcd\0')));
    assert.deepEqual([set.errno, set.controls[0]!.value], [0, POINTER]);
    const got = await ask(G, request());
    assert.equal(got.errno, 0);
    assert.equal(got.controls[0]!.payload!.toString('latin1'), 'abcd\0');
    assert.equal(got.controls[0]!.value, POINTER, 'the pointer comes back as it was');
    assert.equal((await ask(TRY, request(Buffer.from('x\0\0\0\0')))).errno, Errno.ERANGE, 'too short');
  });

  it('arrays: every element there and back, over many pages, native view equal', async () => {
    const pixels = Buffer.alloc(PIXELS).map((_, i) => i % 256);
    const places = memory(24, 100, 1, PIXELS - 125);
    const matrix = Buffer.alloc(MATRIX_BYTES);
    for (let i = 0; i < MATRIX_BYTES / 2; i++) matrix.writeUInt16LE(16 + i * 3, i * 2);
    const set = await ask(S, [
      { id: V.PIXEL_ARRAY, memory: places, payload: pixels },
      { id: V.BRIGHTNESS, value: 5n },
      { id: V.U16_MATRIX, memory: memory(MATRIX_BYTES - 2, 2), payload: matrix },
    ]);
    assert.equal(set.errno, 0);
    const array = Buffer.concat([
      encoded(extControl, { id: V.PIXEL_ARRAY, size: PIXELS }),
      encoded(extControl, { id: V.U16_MATRIX, size: MATRIX_BYTES }),
    ]);
    const own = [Buffer.alloc(PIXELS), Buffer.alloc(MATRIX_BYTES)];
    assert.equal((await node.controls(G, Which.CURRENT, array, own)).errno, 0);
    assert.deepEqual(own, [Buffer.from(pixels), matrix]);
    const got = await ask(G, [
      { id: V.U16_MATRIX, memory: memory(3, 5, MATRIX_BYTES - 8) },
      { id: V.PIXEL_ARRAY, memory: memory(PIXELS) },
    ]);
    assert.deepEqual([got.controls[0]!.payload, got.controls[1]!.payload], [matrix, Buffer.from(pixels)]);
  });

  it('values out of range are clamped or refused as natively, in TRY, S and G', async () => {
    const clamped = Buffer.alloc(MATRIX_BYTES, 0xff);
    const own = Buffer.from(clamped);
    const array = encoded(extControl, { id: V.U16_MATRIX, size: MATRIX_BYTES });
    const { errno } = await node.controls(TRY, Which.CURRENT, array, [own]);
    const tried = await ask(TRY, [
      { id: V.U16_MATRIX, memory: memory(7, MATRIX_BYTES - 7), payload: clamped },
    ]);
    assert.equal(tried.errno, errno);
    assert.deepEqual(tried.controls[0]!.payload, own);
    for (const [id, value] of [
      [V.INTEGER_MENU, 99],
      [V.MENU, 2],
      [V.BRIGHTNESS, 300],
      [V.BOOLEAN, 7],
    ] as const)
      for (const nr of [TRY, S]) {
        const record = encoded(extControl, { id, value: Buffer.from([value & 0xff, value >> 8]) });
        const natively = await node.controls(nr, Which.CURRENT, record, [null]);
        const asked = await ask(nr, [{ id, value: BigInt(value) }]);
        assert.deepEqual(
          [asked.errno, asked.errorIdx],
          [natively.errno, natively.errorIdx],
          `0x${id.toString(16)}`,
        );
        const { value: after } = extControl.read(record);
        assert.equal(asked.controls[0]!.value & 0xffff_ffffn, BigInt(Buffer.from(after).readUInt32LE()));
      }
  });

  it('too little room: ENOSPC, the size that is needed, and memory untouched', async () => {
    const small = memory(5, 3);
    for (const { address, length } of small) driver.heap.ram.view(address, length).fill(0xee);
    const got = await ask(G, [{ id: V.BRIGHTNESS }, { id: V.PIXEL_ARRAY, memory: small }]);
    assert.deepEqual([got.errno, got.echoed], [Errno.ENOSPC, true]);
    assert.equal(got.controls[1]!.size, PIXELS);
    for (const { address, length } of small)
      assert.ok(driver.heap.ram.view(address, length).every((byte) => byte === 0xee));
    const none = await ask(G, [{ id: V.PIXEL_ARRAY }]);
    assert.deepEqual([none.errno, none.controls[0]!.size], [Errno.ENOSPC, PIXELS]);
  });

  it('a dynamic array has the size that it was set to', async () => {
    const values = Buffer.alloc(5 * 4);
    for (let i = 0; i < 5; i++) values.writeUInt32LE(20 + i, i * 4);
    assert.equal((await ask(S, [{ id: V.DYNAMIC_ARRAY, memory: memory(20), payload: values }])).errno, 0);
    const got = await ask(G, [{ id: V.DYNAMIC_ARRAY, memory: memory(400) }]);
    assert.deepEqual([got.errno, got.controls[0]!.size], [0, 20]);
    assert.deepEqual(got.controls[0]!.payload, values);
  });

  it('refusals have their index, their errno, and the whole record', async () => {
    const three = (id: number): ControlRequest[] => [
      { id: V.BRIGHTNESS, value: 1n },
      { id, value: 1n },
      { id: V.CONTRAST, value: 1n },
    ];
    for (const [nr, id] of [
      [S, V.READ_ONLY],
      [TRY, V.READ_ONLY],
      [G, V.BUTTON],
      [S, UNKNOWN],
      [TRY, UNKNOWN],
      [G, UNKNOWN],
    ] as const) {
      const array = Buffer.concat(
        three(id).map((each) => encoded(extControl, { id: each.id, value: Buffer.from([1]) })),
      );
      const own = await node.controls(nr, Which.CURRENT, array, [null, null, null]);
      assert.notEqual(own.errno, 0);
      const asked = await ask(nr, three(id));
      const what = `ioctl ${nr} of 0x${id.toString(16)}`;
      assert.deepEqual([asked.errno, asked.errorIdx, asked.echoed], [own.errno, own.errorIdx, true], what);
    }
    assert.equal((await ask(S, [{ id: V.READ_ONLY, value: 1n }])).errno, Errno.EACCES);
    assert.notEqual(await node.getControl(V.BRIGHTNESS), 1, 'nothing of a refused call is set');
  });

  it('no controls at all: the class decides, as natively', async () => {
    for (const which of [Which.CURRENT, Which.DEFAULT, 0x00980000, 0x00990000, 0x0f02_0000, 0x1234_0000])
      for (const nr of [G, S, TRY]) {
        const own = await node.controls(nr, which, Buffer.alloc(0), []);
        const asked = await ask(nr, [], which);
        assert.deepEqual(
          [asked.errno, asked.errorIdx, asked.echoed],
          [own.errno, own.errorIdx, true],
          `${nr}, ${which}`,
        );
      }
  });

  it('a size where there is no payload, as an uninitialised guest sends it, is the value all the same', async () => {
    const set = await ask(S, [{ id: V.CONTRAST, value: 61n, memory: memory(3, 9) }]);
    assert.equal(set.errno, 0);
    assert.equal(await node.getControl(V.CONTRAST), 61);
    assert.equal(set.controls[0]!.value, 61n);
    const got = await ask(G, [
      { id: V.CONTRAST, memory: memory(16) },
      { id: V.STRING, memory: memory(5) },
    ]);
    assert.deepEqual([got.errno, got.controls[0]!.value], [0, 61n]);
    assert.equal(got.controls[1]!.payload!.toString('latin1'), 'abcd\0', 'the second list is not the first');
  });
});
