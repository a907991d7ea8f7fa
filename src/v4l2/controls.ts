/** The controls of a node as it enumerates them (QUERY_EXT_CTRL, QUERYMENU, G_CTRL). */

import type { Ask } from './enumeration.js';
import { ControlType, control, Enumerate, querymenu } from './enumeration-layout.js';
import { ControlFlag, MAX_CONTROLS, queryExtCtrl } from './layout.js';
import { controlTypeWord } from './names.js';

/** Of one menu; V4L2 names no bound. */
const MAX_MENU_ITEMS = 256;

export interface MenuItem {
  readonly index: number;
  /** The item's name; of an integer menu, its number in decimal. */
  readonly name: string;
}

export interface Control {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly minimum: number;
  readonly maximum: number;
  readonly step: number;
  readonly defaultValue: number;
  /** The current value; undefined where it is no plain number or cannot be read. */
  readonly value?: number;
  readonly readOnly: boolean;
  /** Another control's setting keeps it from having an effect. */
  readonly inactive: boolean;
  readonly menu: readonly MenuItem[];
}

/** Every control, class headings left out. */
export async function controlsOf(ask: Ask): Promise<Control[]> {
  const controls: Control[] = [];
  const payload = Buffer.alloc(queryExtCtrl.size);
  let id = 0;
  for (let asked = 0; asked < MAX_CONTROLS; asked++) {
    payload.fill(0);
    payload.writeUInt32LE(
      (id | ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND) >>> 0,
      queryExtCtrl.offset.id,
    );
    if ((await ask(Enumerate.QUERY_EXT_CTRL, payload)) !== 0) break;
    const found = queryExtCtrl.read(payload);
    if (found.id <= id) break; // A driver that ignores the NEXT flags would answer the same for ever.
    id = found.id;
    if (found.type === ControlType.CLASS || (found.flags & ControlFlag.DISABLED) !== 0) continue;
    controls.push(await controlOf(ask, payload));
  }
  return controls;
}

async function controlOf(ask: Ask, payload: Buffer): Promise<Control> {
  const { id, name, type, flags } = queryExtCtrl.read(payload);
  const { minimum, maximum, step, defaultValue } = queryExtCtrl.offset;
  const value = await currentValue(ask, id, type, flags);
  return {
    id,
    name,
    type: controlTypeWord(type),
    minimum: signed(payload, minimum),
    maximum: signed(payload, maximum),
    step: signed(payload, step),
    defaultValue: signed(payload, defaultValue),
    ...(value === undefined ? {} : { value }),
    readOnly: (flags & ControlFlag.READ_ONLY) !== 0,
    inactive: (flags & ControlFlag.INACTIVE) !== 0,
    menu: await menuOf(ask, id, type, signed(payload, minimum), signed(payload, maximum)),
  };
}

const valueless: ReadonlySet<number> = new Set([
  ControlType.BUTTON,
  ControlType.INTEGER64,
  ControlType.STRING,
]);

async function currentValue(ask: Ask, id: number, type: number, flags: number): Promise<number | undefined> {
  if (valueless.has(type) || (flags & (ControlFlag.HAS_PAYLOAD | ControlFlag.WRITE_ONLY)) !== 0)
    return undefined;
  const payload = control.encode({ id, value: 0 });
  return (await ask(Enumerate.G_CTRL, payload)) === 0 ? control.read(payload).value : undefined;
}

async function menuOf(ask: Ask, id: number, type: number, first: number, last: number): Promise<MenuItem[]> {
  if (type !== ControlType.MENU && type !== ControlType.INTEGER_MENU) return [];
  const items: MenuItem[] = [];
  for (let index = Math.max(first, 0); index <= Math.min(last, MAX_MENU_ITEMS - 1); index++) {
    const payload = querymenu.encode({ id, index, name: '', reserved: 0 });
    if ((await ask(Enumerate.QUERYMENU, payload)) !== 0) continue; // Menus may have holes.
    const number = payload.readBigInt64LE(querymenu.offset.name);
    items.push({ index, name: type === ControlType.MENU ? querymenu.read(payload).name : `${number}` });
  }
  return items;
}

/** A signed 64-bit number as a double: exact up to 2^53, which is more than any 32-bit control. */
const signed = (payload: Buffer, at: number): number => Number(payload.readBigInt64LE(at));
