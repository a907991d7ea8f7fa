/** One command of G/S/TRY_EXT_CTRLS, and what must come back. */
import assert from 'node:assert/strict';
import { join, u32, zeros } from './bytes.js';
import type { Guest, Reply } from './guest.js';
import { Control, control, controls, Nr } from './v4l2.js';

/** Bytes of struct v4l2_ext_controls and of struct v4l2_ext_control. */
export const HEADER = 32;
export const ONE = 20;
export const POINTER = 0x7ffe_dead_beef_f00dn;

/** The answer to a single control. */
export interface OneReply extends Reply {
  readonly header: Buffer;
  readonly one: Buffer;
}

export class ControlAsker {
  constructor(
    private readonly guest: Guest,
    private readonly session: number,
  ) {}

  /** The header, an array, SG lists. The answer has room for header and array. */
  ask(nr: number, header: Buffer, array: Buffer, lists: Buffer = zeros(0)): Promise<Reply> {
    const request = join(u32(3, 0, this.session, nr), header, array, lists);
    return this.guest.command(request, 8 + header.length + array.length);
  }

  /** A single control. */
  async askOne(nr: number, one: Buffer, lists?: Buffer, which = 0): Promise<OneReply> {
    const reply = await this.ask(nr, controls({ count: 1, which, pointer: POINTER }), one, lists);
    return { ...reply, header: reply.payload.subarray(0, HEADER), one: reply.payload.subarray(HEADER) };
  }

  /** A control is read as ever. */
  async goesOn(): Promise<void> {
    const reply = await this.askOne(Nr.G_EXT_CTRLS, control(Control.BRIGHTNESS));
    assert.deepEqual([reply.status, reply.length], [0, 8 + HEADER + ONE]);
  }
}

/** Checks that header and array came back with the guest's pointer in them. `errorIdx` is the kernel's. */
export function echoed(reply: OneReply, status: number, errorIdx: number, one: Buffer): void {
  assert.deepEqual([reply.status, reply.length], [status, 8 + HEADER + ONE]);
  if (status !== 0) assert.equal(reply.header.readUInt32LE(8), errorIdx, 'error_idx');
  assert.equal(reply.header.readBigUInt64LE(24), POINTER);
  assert.deepEqual(reply.one, one);
}
