/**
 * Which processes of the host have a node open, as /proc shows it. The node is not opened, and nothing waits for it.
 */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { printable } from '../printable.js';

/** A process that has the node open. */
export interface Holder {
  readonly pid: number;
  /** Name of the process in the kernel, at most 15 bytes. */
  readonly command: string;
  /**
   * Whether buffers of the device are mapped in the process. If so, it streams, or it did and keeps the buffers. If
   * not, it may stream from memory of its own, or not stream.
   */
  readonly maps: boolean;
}

/** The result of a search in /proc. */
export interface Holders {
  /** Sorted by process id. This process is not in the list. */
  readonly holders: readonly Holder[];
  /** Whether there are processes whose descriptors this user may not read. */
  readonly hidden: boolean;
  /** Whether this process has the node open too. */
  readonly own: boolean;
}

/**
 * Links of descriptors that may lead to a file of /dev. In another mount name space the link may lack the name of the
 * root (/dev). stat(2) is not called for other links, because for a file on a network it may never return.
 */
const deviceFile = /^\/(dev\/.*|[^/]+)$/;

/**
 * Finds every other process that has the device with this number open. If a process ends meanwhile, it has nothing
 * open. Rejects if /proc cannot be listed.
 */
export async function holdersOf(rdev: number, proc = '/proc', self = process.pid): Promise<Holders> {
  const pids = (await readdir(proc)).map(Number).filter((pid) => pid > 0 && pid !== self);
  const holders: Holder[] = [];
  let hidden = false;
  for (const pid of pids.sort((left, right) => left - right)) {
    const folder = join(proc, String(pid));
    const names = await openNames(folder, rdev);
    if (names === 'hidden') hidden = true;
    else if (names.length > 0)
      holders.push({ pid, command: await commandOf(folder), maps: await maps(folder, names) });
  }
  const own = await openNames(join(proc, String(self)), rdev);
  return { holders, hidden, own: own.length > 0 };
}

/** Only the holders that have its buffers mapped, as far as this user can see. */
export function mappersOf({ holders, ...rest }: Holders): Holders {
  return { ...rest, holders: holders.filter((holder) => holder.maps) };
}

/** `ffmpeg (1234), cheese (5678)`. If no holder is known: what the operator must do to see them. */
export function holdersText({ holders, hidden }: Pick<Holders, 'holders' | 'hidden'>): string {
  const names = holders.map(({ pid, command }) => `${command} (${pid})`);
  if (names.length > 0) return names.join(', ');
  return hidden ? 'another program (run as root to see which)' : 'another program';
}

/**
 * EBUSY of open(2): the driver takes no more files, so a process that has one is the reason. null: it may be the
 * guest.
 */
export function openersText(found: Holders): string | null {
  if (found.own) return null;
  if (found.holders.length > 0) return `${holdersText(found)} has the node`;
  return found.hidden
    ? 'who has the node cannot be seen by this user (run as root to see)'
    : 'no other program is seen to have the node: see dmesg';
}

/**
 * EBUSY of an ioctl: a process with the node open is not the reason, a process with its buffers is. null: none is
 * seen.
 */
export function mappersText(found: Holders): string | null {
  const mappers = mappersOf(found);
  return mappers.holders.length > 0 ? `${holdersText(mappers)} has buffers of the node mapped` : null;
}

/**
 * Names of the device in the links of a process's descriptors. The links are read one after the other, because a
 * process may have very many.
 */
async function openNames(process: string, rdev: number): Promise<readonly string[] | 'hidden'> {
  const names = new Set<string>();
  try {
    const folder = join(process, 'fd');
    for (const fd of await readdir(folder)) {
      const name = await deviceName(join(folder, fd), rdev);
      if (name !== null) names.add(name);
    }
    return [...names];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' || code === 'EPERM' ? 'hidden' : [...names];
  }
}

/** null: the descriptor is not of this device, or it was closed meanwhile. */
async function deviceName(link: string, rdev: number): Promise<string | null> {
  try {
    const name = await readlink(link);
    if (!deviceFile.test(name)) return null;
    const file = await stat(link);
    return file.isCharacterDevice() && file.rdev === rdev ? name : null;
  } catch {
    return null;
  }
}

/** /proc/PID/maps names a file as the links of descriptors do. */
async function maps(process: string, names: readonly string[]): Promise<boolean> {
  const lines = (await readFile(join(process, 'maps'), 'utf8').catch(() => '')).split('\n');
  return lines.some((line) => names.some((name) => line.endsWith(` ${name}`)));
}

/** A process chooses its own name. The kernel cuts it at 15 bytes. */
async function commandOf(process: string): Promise<string> {
  const name = await readFile(join(process, 'comm'), 'utf8').catch(() => '');
  return printable(name.trimEnd()) || '?';
}
