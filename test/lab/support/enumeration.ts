/** Enumerates controls and formats, through the bridge or natively. */
import assert from 'node:assert/strict';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import { encoded } from '../../../src/struct.js';
import { queryExtCtrl } from '../../../src/v4l2/control-layout.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferType, fmtdesc } from '../../../src/v4l2/layout.js';
import { fourcc } from '../../../src/v4l2/names.js';
import { errnoOf } from './stage.js';

/** An answer of the node or of the bridge. */
export interface Asked {
  readonly errno: number;
  readonly payload: Buffer;
}
export type Ask = (nr: number, payload: Buffer) => Promise<Asked> | Asked;

export const askGuest =
  (driver: GuestDriver, session: number): Ask =>
  async (nr, payload) => {
    let answer: Buffer = Buffer.alloc(0);
    const asked = driver.ioctl(session, nr, payload).then((bytes) => {
      answer = bytes;
    });
    return { errno: await errnoOf(asked), payload: answer };
  };

/** The ids that QUERYCTRL or QUERY_EXT_CTRL enumerates. */
export async function enumerate(ask: Ask, nr: number, flags: number): Promise<number[]> {
  const ids: number[] = [];
  for (let last = 0; ; last = ids.at(-1)!) {
    const payload = Buffer.alloc(nr === Ioctl.QUERYCTRL ? 68 : queryExtCtrl.size);
    payload.writeUInt32LE((last | flags) >>> 0, 0);
    const found = await ask(nr, payload);
    if (found.errno !== 0) return ids;
    ids.push(found.payload.readUInt32LE(0));
  }
}

/** The FOURCCs of the CAPTURE queue. */
export async function formatsOf(ask: Ask): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const wanted = encoded(fmtdesc, { index: found.length, type: BufferType.VIDEO_CAPTURE });
    const asked = await ask(Ioctl.ENUM_FMT, wanted);
    if (asked.errno !== 0) return found;
    const { index, pixelformat } = fmtdesc.read(asked.payload);
    assert.equal(index, found.length);
    found.push(fourcc(pixelformat));
  }
}
