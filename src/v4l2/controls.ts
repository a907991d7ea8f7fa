/** The controls of a node, from QUERY_EXT_CTRL, QUERYMENU, G_CTRL and G_EXT_CTRLS. */

import {
  ControlFlag,
  ControlType,
  control,
  MAX_CONTROLS,
  queryExtCtrl,
  querymenu,
  rect,
} from './control-layout.js';
import type { RunIoctl } from './enumeration.js';
import { Ioctl } from './ioctls.js';
import { controlTypeWord } from './names.js';

/** The most items of one menu. V4L2 has no limit. */
const MAX_MENU_ITEMS = 256;

/** One item of a menu or an integer menu. `index` is the value that selects it. */
export interface MenuItem {
  readonly index: number;
  /** Name of the item. In an integer menu: its number in decimal. */
  readonly name: string;
}

/** A signed 64-bit number. If a double cannot represent it: a string of decimal digits. */
export type Whole = number | string;

/** In pixels. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Reads the payload of a control into `payload` (G_EXT_CTRLS). Resolves to an errno. */
export type ReadPayload = (id: number, payload: Uint8Array) => Promise<number>;

/** One control of a node, with its current value if it is a plain number or a rectangle. */
export interface Control {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  /** Number of elements; more than 1 in an array. */
  readonly elements: number;
  readonly minimum: Whole;
  readonly maximum: Whole;
  readonly step: Whole;
  readonly defaultValue: Whole;
  /** The current value. undefined: it is neither a plain number nor a rectangle, or it cannot be read. */
  readonly value?: number | Rectangle;
  readonly readOnly: boolean;
  /** The setting of another control keeps this one from having an effect. */
  readonly inactive: boolean;
  readonly menu: readonly MenuItem[];
}

/**
 * All controls that are not disabled, without class headings. At most MAX_CONTROLS. `readPayload`: without it,
 * rectangles have no value. `controls`: has those that were read so far.
 */
export async function controlsOf(
  ask: RunIoctl,
  readPayload?: ReadPayload,
  controls: Control[] = [],
): Promise<Control[]> {
  const payload = Buffer.alloc(queryExtCtrl.size);
  let id = 0;
  for (let asked = 0; asked < MAX_CONTROLS; asked++) {
    payload.fill(0);
    payload.writeUInt32LE(
      (id | ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND) >>> 0,
      queryExtCtrl.offset.id,
    );
    if ((await ask(Ioctl.QUERY_EXT_CTRL, payload)) !== 0) break;
    const found = queryExtCtrl.read(payload);
    if (found.id <= id) break; // A driver that ignores the NEXT flags answers the same control for ever.
    id = found.id;
    if (found.type === ControlType.CLASS || (found.flags & ControlFlag.DISABLED) !== 0) continue;
    controls.push(await controlOf(ask, payload, readPayload));
  }
  return controls;
}

async function controlOf(
  ask: RunIoctl,
  payload: Buffer,
  readPayload: ReadPayload | undefined,
): Promise<Control> {
  const { id, name, type, flags, elems } = queryExtCtrl.read(payload);
  const { minimum, maximum, step, defaultValue } = queryExtCtrl.offset;
  const isRectangle = type === ControlType.RECT && elems === 1 && (flags & ControlFlag.WRITE_ONLY) === 0;
  const value = isRectangle
    ? await currentRectangle(readPayload, id)
    : await currentValue(ask, id, type, flags);
  return {
    id,
    name,
    type: controlTypeWord(type),
    elements: elems,
    minimum: signed(payload, minimum),
    maximum: signed(payload, maximum),
    step: signed(payload, step),
    defaultValue: signed(payload, defaultValue),
    ...(value === undefined ? {} : { value }),
    readOnly: (flags & ControlFlag.READ_ONLY) !== 0,
    inactive: (flags & ControlFlag.INACTIVE) !== 0,
    menu: await menuOf(ask, id, type, Number(signed(payload, minimum)), Number(signed(payload, maximum))),
  };
}

const valueless: ReadonlySet<number> = new Set([
  ControlType.BUTTON,
  ControlType.INTEGER64,
  ControlType.STRING,
]);

async function currentValue(
  ask: RunIoctl,
  id: number,
  type: number,
  flags: number,
): Promise<number | undefined> {
  if (valueless.has(type) || (flags & (ControlFlag.HAS_PAYLOAD | ControlFlag.WRITE_ONLY)) !== 0)
    return undefined;
  const payload = control.encode({ id, value: 0 });
  if ((await ask(Ioctl.G_CTRL, payload)) !== 0) return undefined;
  const { value } = control.read(payload);
  return type === ControlType.BITMASK ? value >>> 0 : value;
}

async function currentRectangle(
  readPayload: ReadPayload | undefined,
  id: number,
): Promise<Rectangle | undefined> {
  const payload = Buffer.alloc(rect.size);
  if (!readPayload || (await readPayload(id, payload)) !== 0) return undefined;
  return rect.read(payload);
}

async function menuOf(
  ask: RunIoctl,
  id: number,
  type: number,
  first: number,
  last: number,
): Promise<MenuItem[]> {
  if (type !== ControlType.MENU && type !== ControlType.INTEGER_MENU) return [];
  const items: MenuItem[] = [];
  for (let index = Math.max(first, 0); index <= Math.min(last, MAX_MENU_ITEMS - 1); index++) {
    const payload = querymenu.encode({ id, index, name: '', reserved: 0 });
    if ((await ask(Ioctl.QUERYMENU, payload)) !== 0) continue; // Menus may have holes.
    const number = payload.readBigInt64LE(querymenu.offset.name);
    items.push({ index, name: type === ControlType.MENU ? querymenu.read(payload).name : `${number}` });
  }
  return items;
}

function signed(payload: Buffer, at: number): Whole {
  const exact = payload.readBigInt64LE(at);
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : `${exact}`;
}
