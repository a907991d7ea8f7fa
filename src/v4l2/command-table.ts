/** The sessions of a device whose flat commands the threads of its commandq may run. */
import { type NodeFile, native } from '../native.js';
import { FlatKind, type NativeCommandTable } from '../native-ring.js';
import { flatPayloads, type IoctlRow, ioctls } from './ioctls.js';

const NUMBERS = 256;
/** Words of a rule as the addon takes it: addon/row_rule.h. */
const RULE_WORDS = 5;
const kinds = { payload: FlatKind.PAYLOAD, controls: FlatKind.CONTROLS, queue: FlatKind.QUEUE } as const;

export class CommandTable {
  readonly native: NativeCommandTable = new native.CommandTable(packedRules());
  readonly #rows = new Map<number, Uint8Array>();

  /** `isFree`: whether nobody has to decide about an ioctl of this session. */
  add(session: number, file: NodeFile, isFree: (row: IoctlRow) => boolean): void {
    const rows = new Uint8Array(NUMBERS);
    for (const row of ioctls.values()) {
      const kind = flatPayloads[row.payload];
      if (kind && isFree(row)) rows[row.nr] = kinds[kind];
    }
    this.#rows.set(session, rows);
    this.native.add(session, file, rows);
  }

  remove(session: number): void {
    if (this.#rows.delete(session)) this.native.remove(session);
  }

  /** Whether a thread may run this ioctl of this session. */
  has(session: number, nr: number): boolean {
    return (this.#rows.get(session)?.[nr] ?? FlatKind.NONE) !== FlatKind.NONE;
  }
}

/** Carries out the mask of a row, as the threads do it. */
export function hideBits({ rule }: IoctlRow, payload: Uint8Array): void {
  if (!rule?.mask) return;
  const { at, hidden, optional, unless } = rule.mask;
  native.hideBits(payload, at, hidden, optional, unless);
}

/** The rules of all rows, by ioctl number. */
function packedRules(): Uint8Array {
  const words = new Uint32Array(NUMBERS * RULE_WORDS);
  for (const { nr, rule } of ioctls.values()) {
    if (!rule) continue;
    const { at, hidden, optional, unless } = rule.mask ?? { at: 0, hidden: 0, optional: 0, unless: 0 };
    words.set([at, hidden, optional, unless, rule.answersErrors ? 1 : 0], nr * RULE_WORDS);
  }
  return new Uint8Array(words.buffer);
}
