/**
 * A fake: the controls of a driver. It looks them up as the control framework of the kernel does (v4l2-ctrls-core.c):
 * by id, by NEXT flags, and from V4L2_CID_PRIVATE_BASE on by counting the plain private controls of the user class.
 */
import type { NodeCall } from '../../../../src/native.js';
import type { FakeNode } from '../fake-node.js';

const EINVAL = 22;
const NEXT_CTRL = 0x8000_0000;
const NEXT_COMPOUND = 0x4000_0000;
const HAS_PAYLOAD = 0x100;
const USER = 0x0098_0000;

export interface FakeControl {
  readonly id: number;
  /** enum v4l2_ctrl_type. */
  readonly type: number;
  readonly payload?: boolean;
}

type Controls = NodeCall & { kind: 'controls' };

export class FakeControls {
  readonly values = new Map<number, number>();
  /** All calls of G/S/TRY_EXT_CTRLS. */
  readonly calls: Controls[] = [];
  /** Control ids of each SUBSCRIBE_EVENT that reached the driver. */
  readonly subscribed: number[] = [];

  /** `table`: sorted by id. */
  constructor(
    node: FakeNode,
    private readonly table: readonly FakeControl[],
  ) {
    for (const nr of [36, 103]) node.ioctls.set(nr, (payload) => this.#query(payload));
    node.ioctls.set(37, (payload) => (this.#find(payload.readUInt32LE(0))?.type === 3 ? 0 : EINVAL));
    node.ioctls.set(27, (payload) => {
      const found = this.#find(payload.readUInt32LE(0));
      if (found) payload.writeUInt32LE(this.values.get(found.id) ?? 0, 4);
      return found ? 0 : EINVAL;
    });
    node.ioctls.set(28, (payload) => {
      const found = this.#find(payload.readUInt32LE(0));
      if (found) this.values.set(found.id, payload.readUInt32LE(4));
      return found ? 0 : EINVAL;
    });
    node.ioctls.set(90, (payload) => {
      this.subscribed.push(payload.readUInt32LE(4));
      return this.#find(payload.readUInt32LE(4)) ? 0 : EINVAL;
    });
    node.controls = (call) => this.#extended(call);
  }

  #find(given: number): FakeControl | undefined {
    const id = given & 0x0fff_ffff;
    if (id < 0x0800_0000) return this.table.find((each) => each.id === id);
    const plain = this.table.filter(
      (each) =>
        (each.id & 0x0fff_0000) === USER && (each.id & 0xffff) >= 0x1000 && !each.payload && each.type !== 5,
    );
    return plain[id - 0x0800_0000];
  }

  #query(payload: Buffer): number {
    const given = payload.readUInt32LE(0);
    const id = given & 0x0fff_ffff;
    const wanted = (each: FakeControl) =>
      each.id > id && (each.payload ? (given & NEXT_COMPOUND) !== 0 : given >= NEXT_CTRL);
    const found = given >= NEXT_COMPOUND ? this.table.find(wanted) : this.#find(given);
    if (!found) return EINVAL;
    payload.fill(0);
    payload.writeUInt32LE(given < NEXT_COMPOUND && id >= 0x0800_0000 ? id : found.id, 0);
    payload.writeUInt32LE(found.type, 4);
    payload.write(`control ${found.id.toString(16)}`, 8);
    if (payload.length === 232) payload.writeUInt32LE(found.payload ? HAS_PAYLOAD : 0, 72);
    return 0;
  }

  /** 71 G, 72 S, 73 TRY. Only TRY reports in error_idx which control failed. */
  #extended(call: Controls): number {
    this.calls.push({ ...call, array: Buffer.from(call.array) });
    const header = Buffer.from(call.controls.buffer, call.controls.byteOffset, call.controls.length);
    const array = Buffer.from(call.array.buffer, call.array.byteOffset, call.array.length);
    const count = header.readUInt32LE(4);
    header.writeUInt32LE(count, 8);
    for (let n = 0; n < count; n++) {
      const id = array.readUInt32LE(20 * n) & 0x0fff_ffff;
      const found = id < 0x0800_0000 && this.#find(id);
      if (!found) {
        if (call.nr === 73) header.writeUInt32LE(n, 8);
        return EINVAL;
      }
    }
    for (let n = 0; n < count; n++) {
      const id = array.readUInt32LE(20 * n) & 0x0fff_ffff;
      if (call.nr === 72) this.values.set(id, array.readUInt32LE(20 * n + 12));
      if (call.nr === 71) array.writeUInt32LE(this.values.get(id) ?? 0, 20 * n + 12);
    }
    return 0;
  }
}
